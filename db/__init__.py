"""The catalogue: the only package that knows SQL."""
