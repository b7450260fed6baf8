"""A dataset is a folder: its table, its images and label maps, and what is wrong with it."""
