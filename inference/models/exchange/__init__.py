"""Models that leave one database and enter another: export, import and the model card."""
