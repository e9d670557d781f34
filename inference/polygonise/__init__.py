"""Class maps to polygons that fit each other.

``sieve`` drops small patches, ``polygonise`` outlines what is left, ``Patches.to_wgs84`` and
``Polygons.to_ewkb`` bring it to the database. ``label_components`` gives the same patches as pixels.
"""

from inference.polygonise.components import Components, label_components
from inference.polygonise.geometry import Ewkb, Polygons, to_wgs84
from inference.polygonise.patches import Patches, polygonise
from inference.polygonise.runs import NOT_OBSERVED
from inference.polygonise.sieve import Sieved, sieve

__all__ = [
    "NOT_OBSERVED",
    "Components",
    "Ewkb",
    "Patches",
    "Polygons",
    "Sieved",
    "label_components",
    "polygonise",
    "sieve",
    "to_wgs84",
]
