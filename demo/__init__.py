"""The main job on a simulated district, from files to areas and pictures."""
