"""Each performance figure, measured beside its peer in one run."""
