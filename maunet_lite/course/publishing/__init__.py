"""From sources to the notebooks that stand in the repository, and to a website."""
