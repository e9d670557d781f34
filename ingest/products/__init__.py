"""Product readers: what a data centre delivers, as facts about rasters and the numbers in them."""
