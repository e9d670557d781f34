"""Experiments: several networks under one split, one budget and several seeds, side by side."""
