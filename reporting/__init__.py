"""Reports: what is read from the views, as tables, files and pages to be signed."""
