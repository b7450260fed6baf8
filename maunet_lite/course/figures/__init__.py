"""Pictures and explorers of single notebooks: helpers that draw, what is taught stands in the cells."""
