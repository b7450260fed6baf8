"""Many images: files in, label maps, tables and exports out."""
