"""Evidence for ore brought onto the one grid of a study area.

``areas`` makes study areas, ``layers`` brings rasters in, ``points`` samples. Whatever becomes values on the
grid gives a ``gridded.Gridded`` to ``storing.store_layer``.

Of samples ``point_files`` reads where they lie, ``value_columns`` chooses what becomes layers, ``contents``
understands what laboratories write, ``placed`` chooses the samples that count, and ``point_gridding`` makes
values and errors of them by ``kriging`` or ``inverse_distance``.
"""
