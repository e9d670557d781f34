"""From a source to scenes in the database: what is there, fetching it, ingesting it."""
