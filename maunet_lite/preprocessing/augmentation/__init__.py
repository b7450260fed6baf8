"""Random changes of training patches: options, windows, changes of pixels, and the steps that apply them."""
