"""What every simulation of a district begins with: terrain, rivers, mines, villages, plants and roads."""

from collections.abc import Callable
from dataclasses import dataclass

from ingest.simulate.geology import Geology, make_geology
from ingest.simulate.ground import Ground
from ingest.simulate.layout import Site, Village, place_mines, place_villages
from ingest.simulate.natural import grow
from ingest.simulate.rivers import Rivers, make_rivers
from ingest.simulate.roads import pave_roads
from ingest.simulate.terrain import Terrain, make_terrain, slope
from ingest.simulate.write import RESOLUTION_M


@dataclass(frozen=True)
class Landscape:
    """A district before its mines are dug; `base` is its ground."""

    terrain: Terrain
    rivers: Rivers
    sites: list[Site]
    villages: list[Village]
    geology: Geology
    base: Ground


def make_landscape(seed: int, shape: tuple[int, int], tell: Callable[[str], None]) -> Landscape:
    """Make the landscape of a district of `shape` (height, width) in pixels of 2 m."""
    tell("terrain and rivers")
    terrain = make_terrain(seed, shape, RESOLUTION_M)
    rivers = make_rivers(seed, terrain)
    steep = slope(terrain.height_m, RESOLUTION_M)
    sites = place_mines(seed, rivers.distance_px)
    villages = place_villages(seed, sites, rivers.distance_px, steep)
    tell("geology, plants and roads")
    geology = make_geology(seed, terrain.height_m, sites)
    base = grow(seed, terrain, steep, rivers, villages)
    pave_roads(seed, base, steep, rivers, sites, villages)
    return Landscape(terrain, rivers, sites, villages, geology, base)
