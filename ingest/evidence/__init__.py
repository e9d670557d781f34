"""Evidence for ore brought onto the one grid of a study area.

``areas`` makes study areas, ``layers`` brings rasters in. Whatever else becomes values on the grid (sample
points, for instance) gives a ``gridded.Gridded`` to ``storing.store_layer``.
"""
