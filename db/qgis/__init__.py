"""What QGIS is given: styles in the database and a project."""
