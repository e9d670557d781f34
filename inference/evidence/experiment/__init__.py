"""Methods that look for ore without labels held against each other, on simulated and on real ground."""
