"""The ground of one year: mines painted over the natural land, with dust and trampled ground round them."""

import numpy as np
from rasterio import features
from scipy import ndimage
from shapely import MultiPolygon, Polygon, unary_union
from shapely.geometry import shape as as_geometry

from ingest.simulate.dumps import paint_dump
from ingest.simulate.fields import FloatMap, Mask, smooth_noise, stream
from ingest.simulate.ground import BACKGROUND, VEGETATION, Ground, frame
from ingest.simulate.layout import Site, Village, jittered
from ingest.simulate.materials import Material
from ingest.simulate.natural import COVER_OF_CLASS
from ingest.simulate.pits import Season, paint_pit
from ingest.simulate.plans import YEARS, Element
from ingest.simulate.ponds import paint_pond
from ingest.simulate.rivers import Rivers
from ingest.simulate.roads import haul_roads
from ingest.simulate.settlements import paint_settlement
from ingest.simulate.squares import paint_square

_RIVER_MARGIN_PX = 7
_NEIGHBOUR_MARGIN_PX = 8


def paint_year(
    seed: int, base: Ground, rivers: Rivers, sites: list[Site], villages: list[Village], year: int
) -> tuple[Ground, list[Mask]]:
    """Ground in a year, and for each mine the mask of its facilities inside its window."""
    ground = base.copy()
    footprints = [_paint_mine(seed, ground, base.height_m, rivers, site, year) for site in sites]
    for number, village in enumerate(villages):
        part = frame(village.centre, 1.3 * max(village.half_px), village.angle, ground.shape)
        window = ground.view(part.rows, part.columns)
        free = ~rivers.bed[part.rows, part.columns] & (window.material != Material.ASPHALT)
        free &= np.isin(window.land_class, (BACKGROUND, VEGETATION))
        paint_settlement(stream(seed, "village", number), window, part, free, village.half_px)
    return ground, footprints


def mine_window(site: Site, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns that hold a mine with its surroundings."""
    part = frame(site.centre, 1.75 * site.radius_px, 0.0, shape)
    return part.rows, part.columns


def boundary(site: Site, footprint: Mask, shape: tuple[int, int]) -> MultiPolygon:
    """Outline of a mine in pixels (column, row): its facilities of all years, closed and smoothed."""
    rows, columns = mine_window(site, shape)
    part = frame(site.centre, 1.75 * site.radius_px, 0.0, shape)
    close_px = 0.16 * site.radius_px
    padded = np.pad(footprint, int(close_px) + 2)
    wide = ndimage.distance_transform_edt(~padded) <= close_px
    keep_px = float(np.clip(0.03 * site.radius_px, 4.0, 9.0))
    closed = ndimage.distance_transform_edt(wide) > close_px - keep_px
    inner = int(close_px) + 2
    closed = ndimage.binary_fill_holes(closed[inner:-inner, inner:-inner]) & (site.belongs(part) > 4)
    found = [
        as_geometry(geometry)
        for geometry, value in features.shapes(closed.astype(np.uint8), connectivity=4)
        if value == 1
    ]
    merged = unary_union(found).simplify(1.5)
    parts = [merged] if isinstance(merged, Polygon) else list(merged.geoms)
    kept = [piece for piece in parts if piece.area >= 0.002 * site.radius_px**2]
    return MultiPolygon(
        [Polygon([(x + columns.start, y + rows.start) for x, y in piece.exterior.coords]) for piece in kept]
    )


def _paint_mine(
    seed: int, ground: Ground, untouched_m: FloatMap, rivers: Rivers, site: Site, year: int
) -> Mask:
    """Paint one mine; returns the mask of its facilities (treated ground included) in its window."""
    turn = YEARS.index(year)
    rng = stream(seed, "mine", site.code)
    elements = [jittered(rng, element) for element in site.plan.elements]
    window = mine_window(site, ground.shape)
    around = ground.view(*window)
    before = around.land_class.copy()
    stops = [site.place(e.at) for e in elements if e.kind == "square"][:1]
    stops += [site.place(e.at) for e in elements if e.growth[turn] > 0]
    roads = haul_roads(stream(seed, "haul", site.code), site, stops, window)
    roads &= ~rivers.water[window]
    around.put(roads, land_class=BACKGROUND, material=Material.HAUL_ROAD)
    order = {"dump": 0, "pit": 1, "pond": 2, "square": 3, "living": 4}
    footprint = np.zeros(before.shape, np.bool_)
    for number, element in sorted(enumerate(elements), key=lambda pair: order[pair[1].kind]):
        if element.growth[turn] > 0:
            # The fall of the untouched land, so that a pond faces the same way in every year.
            downhill = _downhill(untouched_m, site.place(element.at))
            _paint_element(seed, ground, rivers, site, number, element, turn, downhill)
    footprint |= (around.land_class > VEGETATION) & (around.land_class != before)
    footprint |= around.treated > 0
    _trample(stream(seed, "dust", site.code), around, footprint | roads)
    return footprint


def _paint_element(
    seed: int,
    ground: Ground,
    rivers: Rivers,
    site: Site,
    number: int,
    element: Element,
    turn: int,
    downhill: float,
) -> None:
    """Paint one facility as it is in the year of index `turn`."""
    rng = stream(seed, "element", site.code, number)
    centre = site.place(element.at)
    half_px = (element.size[0] * site.radius_px, element.size[1] * site.radius_px)
    outward = float(np.arctan2(centre[0] - site.centre[0], centre[1] - site.centre[1]))
    angle = {"pit": site.angle, "dump": outward, "pond": downhill}.get(
        element.kind, site.angle + float(rng.uniform(-0.3, 0.3))
    )
    part = frame(centre, 1.55 * max(half_px), angle, ground.shape)
    if part.is_empty:
        return
    window = ground.view(part.rows, part.columns)
    wobble = part.noise(stream(seed, "margin", site.code, number), 0.12 * site.radius_px)
    allowed = site.belongs(part) > _NEIGHBOUR_MARGIN_PX + np.clip(5.0 * (wobble + 1.0), 0, 14)
    allowed &= rivers.distance_px[part.rows, part.columns] > _RIVER_MARGIN_PX
    allowed = _same_bank(allowed, np.hypot(part.u / half_px[0], part.v / half_px[1]) < 0.9)
    season = Season(element.growth[turn], element.treated[turn])
    if element.kind == "pit":
        paint_pit(rng, window, part, allowed, site.plan, element, half_px, season)
    elif element.kind == "dump":
        paint_dump(rng, window, part, allowed, site.plan, half_px, season)
    elif element.kind == "pond":
        paint_pond(rng, window, part, allowed, site.plan, half_px, season)
    elif element.kind == "square":
        paint_square(rng, window, part, allowed, site.plan, half_px)
    else:
        paint_settlement(rng, window, part, allowed, half_px)


def _same_bank(allowed: Mask, wanted: Mask) -> Mask:
    """Connected part of `allowed` that holds most of what is wanted: no facility straddles a river."""
    parts, count = ndimage.label(allowed)
    if count < 2:
        return allowed
    inside = np.bincount(parts[wanted & allowed], minlength=count + 1)
    inside[0] = 0
    return np.asarray(parts == int(inside.argmax()))


def _downhill(height_m: FloatMap, centre: tuple[float, float]) -> float:
    """Bearing (radians from the column axis towards rows) in which the land falls round a pixel."""
    row, column = (int(np.clip(c, 24, n - 25)) for c, n in zip(centre, height_m.shape, strict=True))
    near = ndimage.gaussian_filter(height_m[row - 24 : row + 25, column - 24 : column + 25], 6.0)
    down, right = np.gradient(near)
    return float(np.arctan2(-down[24, 24], -right[24, 24]))


def _trample(rng: np.random.Generator, around: Ground, worked: Mask) -> None:
    """Dust and wheel tracks: plants thin out near the facilities and the ground turns pale."""
    distance = ndimage.distance_transform_edt(~worked).astype(np.float32)
    noise = smooth_noise(rng, worked.shape, 14)
    natural = (around.material == Material.SOIL) & (around.treated == 0) & (around.land_class <= VEGETATION)
    halo = np.exp(-distance / 16.0) * np.clip(0.95 + 0.3 * noise, 0.2, 1.3)
    around.cover[natural] *= (1 - np.clip(0.85 * halo, 0, 1))[natural]
    around.tone[natural] *= (1 + 0.07 * halo)[natural]
    bare = natural & (around.land_class == VEGETATION) & (around.cover < COVER_OF_CLASS * 0.8)
    around.land_class[bare] = BACKGROUND
    dusty = natural & (around.land_class == BACKGROUND) & (distance + 3.0 * noise < 5.0)
    around.material[dusty] = Material.DUST
