"""Models made of several models."""
