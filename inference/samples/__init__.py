"""Sample sets: windows round labels, split so that no ground is trained on and tested on."""
