"""From an image to its cells: at which size the network sees it, and how sure it is."""
