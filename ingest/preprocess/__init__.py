"""Steps from digital numbers to comparable reflectance: arrays in, arrays out, one step per file."""
