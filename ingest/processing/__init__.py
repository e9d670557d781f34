"""From the rasters of a product to the pixels that are stored: which steps run, in which order, on what."""
