"""What reports show: rows of the views, and the ground they are drawn on."""
