"""Training of networks from the scenes and labels of a database."""
