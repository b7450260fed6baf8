"""Images read region by region, from files of any size and from arrays."""
