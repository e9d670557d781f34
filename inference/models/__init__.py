"""Trained networks in the registry: told, compared, drawn, carried to another database."""
