"""From files to scenes, tiles and features in the database."""
