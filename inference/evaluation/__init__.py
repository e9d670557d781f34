"""How good a segmentation is: boundaries, calibration, and how far the figures can be trusted."""
