"""Plans of mines: what stands where, what it is made of, and how it changes over the three years.

Positions and sizes are in radii of the mine's own circle, before the mine is turned and mirrored.
"""

from dataclasses import dataclass

from ingest.simulate.materials import Material

YEARS = (2021, 2022, 2023)
Yearly = tuple[float, float, float]


@dataclass(frozen=True)
class Element:
    """One facility of a mine.

    `kind` is pit, dump, pond, square or living; `growth` its size per year as a share of `size` (0: not
    there yet); `treated` the share of it that is revegetated per year.
    """

    kind: str
    at: tuple[float, float]
    size: tuple[float, float]
    growth: Yearly = (1.0, 1.0, 1.0)
    treated: Yearly = (0.0, 0.0, 0.0)
    lake: float = 0.0


@dataclass(frozen=True)
class MinePlan:
    """A type of mine; `rock` are the strata seen in its pits, `waste` what its dumps consist of."""

    mineral: str
    mining_method: str
    names: tuple[str, ...]
    rock: tuple[Material, ...]
    floor: Material
    waste: tuple[Material, Material]
    sand: Material
    stock: Material
    elements: tuple[Element, ...]


COAL = MinePlan(
    "coal",
    "open_cast",
    ("红山露天煤矿", "Hongshan No. 2 open-cast", "黑沟煤矿"),
    (Material.SANDSTONE, Material.MUDSTONE, Material.COAL_SHALE, Material.COAL),
    Material.COAL,
    (Material.MUDSTONE, Material.COAL_SHALE),
    Material.TAILINGS_WET,
    Material.COAL,
    (
        Element("pit", (-0.22, 0.14), (0.60, 0.42), (0.80, 0.90, 1.0), lake=0.24),
        Element("dump", (0.52, -0.46), (0.36, 0.30), (0.74, 0.88, 1.0)),
        Element("dump", (0.50, 0.52), (0.30, 0.24), treated=(0.0, 0.45, 0.75)),
        Element("square", (-0.60, -0.56), (0.25, 0.16)),
        Element("square", (-0.04, -0.66), (0.17, 0.12), (0.0, 1.0, 1.0)),
        Element("living", (-0.62, 0.72), (0.19, 0.13)),
    ),
)
IRON = MinePlan(
    "iron",
    "open_cast",
    ("铁门沟铁矿", "Tiemengou iron mine", "磁海铁矿"),
    (Material.IRON_ORE, Material.IRON_WASTE, Material.SANDSTONE),
    Material.IRON_ORE,
    (Material.IRON_WASTE, Material.IRON_ORE),
    Material.IRON_TAILINGS,
    Material.IRON_ORE,
    (
        Element("pit", (-0.30, 0.26), (0.45, 0.36), (0.82, 0.91, 1.0), lake=0.2),
        Element("pit", (0.16, 0.72), (0.21, 0.16), (0.0, 0.7, 1.0)),
        Element("dump", (0.24, 0.02), (0.27, 0.20), (0.82, 0.92, 1.0)),
        Element("dump", (-0.10, -0.64), (0.25, 0.20), treated=(0.0, 0.0, 0.55)),
        Element("pond", (0.56, -0.50), (0.36, 0.27), (0.86, 0.93, 1.0)),
        Element("pond", (-0.58, -0.48), (0.24, 0.19)),
        Element("square", (0.62, 0.30), (0.22, 0.16)),
        Element("living", (0.62, 0.70), (0.17, 0.12)),
    ),
)
GRANITE = MinePlan(
    "granite",
    "open_cast",
    ("白石头花岗岩矿", "Baishitou granite quarry", "天山石材采石场"),
    (Material.GRANITE_FRESH, Material.GRANITE_FRESH, Material.GRANITE_WASTE),
    Material.GRANITE_FRESH,
    (Material.GRANITE_WASTE, Material.GRANITE_WASTE),
    Material.TAILINGS_DRY,
    Material.GRANITE_FRESH,
    (
        Element("pit", (-0.18, 0.14), (0.50, 0.40), (0.80, 0.90, 1.0), lake=0.26),
        Element("pit", (-0.62, -0.34), (0.24, 0.18), treated=(0.0, 0.6, 0.85)),
        Element("dump", (0.52, -0.36), (0.27, 0.22), (0.80, 0.90, 1.0)),
        Element("square", (0.52, 0.40), (0.22, 0.16)),
        Element("square", (0.02, -0.58), (0.14, 0.10), (0.0, 0.0, 1.0)),
        Element("living", (-0.24, 0.80), (0.17, 0.12)),
    ),
)
LEAD_ZINC = MinePlan(
    "lead_zinc",
    "underground",
    ("南沟铅锌矿", "Nangou lead-zinc mine", "彩霞山铅锌矿"),
    (Material.MUDSTONE, Material.SANDSTONE),
    Material.MUDSTONE,
    (Material.MUDSTONE, Material.SANDSTONE),
    Material.TAILINGS_DRY,
    Material.IRON_WASTE,
    (
        Element("square", (-0.06, 0.06), (0.30, 0.20)),
        Element("square", (0.42, 0.52), (0.20, 0.14), (0.0, 1.0, 1.0)),
        Element("dump", (-0.58, 0.30), (0.28, 0.22), (0.78, 0.90, 1.0)),
        Element("dump", (-0.06, 0.68), (0.22, 0.18), treated=(0.0, 0.4, 0.7)),
        Element("pond", (0.50, -0.40), (0.40, 0.30), (0.84, 0.92, 1.0)),
        Element("living", (-0.46, -0.54), (0.24, 0.17)),
    ),
)
LIMESTONE = MinePlan(
    "limestone",
    "open_cast",
    ("青石峡石灰石矿", "Qingshixia limestone quarry", "天池水泥矿山"),
    (Material.LIMESTONE, Material.LIMESTONE_WASTE, Material.LIMESTONE),
    Material.LIMESTONE,
    (Material.LIMESTONE_WASTE, Material.SANDSTONE),
    Material.TAILINGS_DRY,
    Material.LIMESTONE,
    (
        Element("pit", (-0.26, 0.10), (0.52, 0.38), (0.82, 0.91, 1.0), lake=0.18),
        Element("dump", (0.18, -0.62), (0.28, 0.22), (0.82, 0.91, 1.0)),
        Element("dump", (0.20, 0.68), (0.20, 0.17), treated=(0.0, 0.6, 0.9)),
        Element("square", (0.58, 0.12), (0.32, 0.21), (1.0, 1.0, 1.0)),
        Element("living", (-0.58, -0.62), (0.20, 0.14)),
    ),
)
COPPER = MinePlan(
    "copper",
    "open_cast",
    ("土屋铜矿", "Tuwu copper mine", "玉海铜矿"),
    (Material.COPPER_OXIDE, Material.COPPER_WASTE, Material.MUDSTONE),
    Material.COPPER_OXIDE,
    (Material.COPPER_WASTE, Material.SANDSTONE),
    Material.TAILINGS_DRY,
    Material.COPPER_OXIDE,
    (
        Element("pit", (-0.28, -0.14), (0.46, 0.40), (0.80, 0.90, 1.0), lake=0.24),
        Element("dump", (0.28, -0.60), (0.30, 0.24), (0.76, 0.88, 1.0)),
        Element("dump", (-0.62, 0.52), (0.20, 0.17), treated=(0.0, 0.5, 0.8)),
        Element("pond", (0.36, 0.44), (0.40, 0.28), (0.84, 0.92, 1.0)),
        Element("square", (0.62, -0.10), (0.24, 0.17)),
        Element("living", (-0.22, 0.78), (0.17, 0.12)),
    ),
)

# Neighbours in this order stand side by side from west to east: no two with ponds next to each other twice.
PLANS: tuple[MinePlan, ...] = (COAL, IRON, GRANITE, LEAD_ZINC, LIMESTONE, COPPER)
