"""Pretraining without labels: a backbone learns to fill in hidden patches of scenes."""
