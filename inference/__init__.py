"""From scenes to classes and probabilities, and the training of the networks that do it."""
