"""The evidence that the model of a search works on, read anew."""
