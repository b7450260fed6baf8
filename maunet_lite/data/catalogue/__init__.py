"""Datasets that the kit knows by name: `entries` says what they are and where, `downloads` fetches them."""
