"""Ground near deposits, measured by hand on a grid of 30 m."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely

from db.errors import UsageError
from db.prospect_sets import Deposit
from db.raster import Grid
from inference.prospect.deposits import choose_deposits, parse_choice, positive_ground

GRID = Grid(32645, 500_000, 4_860_000, 30.0, 30.0, 40, 20)
EVERYWHERE = np.ones((20, 40), bool)
TO_LONLAT = pyproj.Transformer.from_crs(32645, 4326, always_xy=True)


def deposit(
    x: float, y: float, *, deposit_id: int = 1, body: shapely.Geometry | None = None, **texts: str
) -> Deposit:
    """A deposit at metres east and south of the grid's upper left corner, as is its body."""

    def lonlat(xy: np.ndarray) -> np.ndarray:
        return np.column_stack(TO_LONLAT.transform(500_000 + xy[:, 0], 4_860_000 - xy[:, 1]))

    parts = [] if body is None else shapely.get_parts(shapely.transform(body, lonlat))
    outline = shapely.MultiPolygon(list(parts)) if len(parts) else None
    point = shapely.transform(shapely.Point(x, y), lonlat)
    return Deposit(
        deposit_id, texts.get("name"), texts.get("commodity"), texts.get("deposit_type"), point, outline
    )


def drawn(mask: np.ndarray) -> list[str]:
    return ["".join(".x"[int(cell)] for cell in row) for row in mask]


def test_cells_count_whose_centre_lies_within_the_buffer() -> None:
    """Round the centre of cell (5, 10): 100 m reach the centres 90 m away, and (60, 60), (90, 30) m."""
    found = positive_ground([deposit(315, 165)], GRID, EVERYWHERE, 100.0, "scene a")
    assert drawn(found.is_positive[1:10, 6:15]) == [
        ".........",
        "...xxx...",  # 90 m north: 0 and 30 m to either side
        "..xxxxx..",
        ".xxxxxxx.",
        ".xxxxxxx.",
        ".xxxxxxx.",
        "..xxxxx..",
        "...xxx...",
        ".........",
    ]
    assert found.is_positive.sum() == 37
    assert found.deposit_ids == (1,)
    assert (found.outside, found.unjudged, found.between_centres) == (0, 0, 0)


def test_the_limit_counts_in() -> None:
    """A centre exactly at the buffer is in, but for what transforming to degrees and back costs."""
    for buffer_m, cells in ((90.001, 29), (89.999, 25)):
        assert (
            positive_ground([deposit(315, 165)], GRID, EVERYWHERE, buffer_m, "a").is_positive.sum() == cells
        )


def test_distances_are_those_of_every_centre_to_point_and_body() -> None:
    body = shapely.Polygon([(200, 100), (420, 160), (380, 300), (260, 250)])
    deposits = [deposit(100, 400, deposit_id=1), deposit(0, 0, deposit_id=2, body=body)]
    found = positive_ground(deposits, GRID, EVERYWHERE, 70.0, "a")
    for row in range(20):
        for col in range(40):
            centre = shapely.Point(30 * col + 15, 30 * row + 15)
            nearest = min(shapely.distance(centre, shape) for shape in (shapely.Point(100, 400), body))
            assert found.is_positive[row, col] == (nearest <= 70)
    assert found.deposit_ids == (1, 2)


def test_inside_a_body_no_buffer_is_needed() -> None:
    body = shapely.box(31, 31, 89, 89)
    found = positive_ground([deposit(-5000, 0, body=body)], GRID, EVERYWHERE, 0.0, "a")
    assert np.argwhere(found.is_positive).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_the_parts_of_a_body_hang_together_wherever_they_lie() -> None:
    """Two parts, 600 m apart; another deposit touches the second at a corner, a third lies alone."""
    body = shapely.MultiPolygon([shapely.box(31, 31, 89, 89), shapely.box(691, 31, 749, 89)])
    deposits = [
        deposit(0, 0, deposit_id=1, body=body),
        deposit(0, 0, deposit_id=2, body=shapely.box(751, 91, 809, 149)),
        deposit(0, 0, deposit_id=3, body=shapely.box(391, 331, 449, 389)),
    ]
    found = positive_ground(deposits, GRID, EVERYWHERE, 0.0, "a")
    first, second, touching, alone = (int(found.pieces[at]) for at in ((1, 1), (1, 23), (3, 25), (11, 13)))
    assert first == second == touching
    assert {first, alone} == {1, 2}
    assert np.array_equal(found.pieces > 0, found.is_positive)


def test_large_bodies_are_measured_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    body = shapely.box(100, 100, 900, 500)
    whole = positive_ground([deposit(0, 0, body=body)], GRID, EVERYWHERE, 50.0, "a").is_positive
    monkeypatch.setattr("inference.prospect.deposits._CHUNK_CELLS", 50)
    assert np.array_equal(
        positive_ground([deposit(0, 0, body=body)], GRID, EVERYWHERE, 50.0, "a").is_positive, whole
    )


def test_deposits_off_the_ground_are_counted_by_reason() -> None:
    judged = EVERYWHERE.copy()
    judged[:, 20:] = False
    deposits = [
        deposit(315, 165, deposit_id=1),
        deposit(-50, 100, deposit_id=2),  # off the grid, but near enough
        deposit(-101, 100, deposit_id=3),
        deposit(1000, 100, deposit_id=4),  # not judged there
        deposit(50_000, 100, deposit_id=5),
        Deposit(6, None, None, None, shapely.Point(-100.0, -44.0), None),  # the other side of the world
    ]
    found = positive_ground(deposits, GRID, judged, 100.0, "a")
    assert found.deposit_ids == (1, 2)
    assert (found.outside, found.unjudged) == (3, 1)
    assert found.is_positive[:, 20:].any()


def test_points_between_the_centres_of_cells_are_counted() -> None:
    """At a corner of cells the nearest centre is 21.2 m away."""
    deposits = [deposit(300, 300, deposit_id=1), deposit(315, 315, deposit_id=2)]
    found = positive_ground(deposits, GRID, EVERYWHERE, 16.0, "a")
    assert (found.deposit_ids, found.between_centres) == ((2,), 1)
    with pytest.raises(UsageError, match=r"none of the 1 deposits on a has the centre of a cell within 16 m"):
        positive_ground(deposits[:1], GRID, EVERYWHERE, 16.0, "a")


def test_ground_without_a_deposit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"none of the 2 deposits lies within 100 m of a; the nearest 3 km"):
        positive_ground([deposit(-3000, 100), deposit(9000, 100)], GRID, EVERYWHERE, 100.0, "a")
    with pytest.raises(UsageError, match=r"a is not judged where its 1 deposits lie"):
        positive_ground([deposit(315, 165)], GRID, ~EVERYWHERE, 100.0, "a")


def test_a_buffer_under_half_a_cell_is_refused_for_points() -> None:
    with pytest.raises(UsageError, match=r"the buffer is 14 m and cells are 30 m wide.*at least 15"):
        positive_ground([deposit(315, 165)], GRID, EVERYWHERE, 14.0, "a")


def test_far_outside_a_projection_nothing_lies_near() -> None:
    """The equator is out of reach of a polar grid's inverse only beyond the other pole."""
    grid = Grid(3031, 0, 0, 30.0, 30.0, 40, 20)
    there = Deposit(1, None, None, None, shapely.Point(0.0, 90.0), None)
    with pytest.raises(UsageError, match=r"none of the 1 deposits lies within 100 m of a"):
        positive_ground([there], grid, EVERYWHERE, 100.0, "a")


def test_the_choice_is_all_or_columns_with_values() -> None:
    assert parse_choice(["all"]) == ()
    assert parse_choice(["commodity=Li", "commodity=Be", "deposit_type=a=b"]) == (
        ("commodity", "Li"),
        ("commodity", "Be"),
        ("deposit_type", "a=b"),
    )


@pytest.mark.parametrize("given", [["Li"], ["all", "commodity=Li"], ["geom=x"], ["=Li"], [""], []])
def test_a_choice_that_is_neither_is_refused(given: list[str]) -> None:
    with pytest.raises(UsageError, match=r"--deposits"):
        parse_choice(given)


def test_deposits_are_chosen_by_any_value_of_each_column() -> None:
    there = [
        deposit(0, 0, deposit_id=1, commodity="Li", deposit_type="pegmatite"),
        deposit(0, 0, deposit_id=2, commodity="Be", deposit_type="pegmatite"),
        deposit(0, 0, deposit_id=3, commodity="Cu", deposit_type="skarn"),
        deposit(0, 0, deposit_id=4),
    ]

    def keys(*choice: tuple[str, str]) -> list[int]:
        return [each.deposit_id for each in choose_deposits(there, choice)]

    assert keys() == [1, 2, 3, 4]
    assert keys(("commodity", "Li"), ("commodity", "Cu")) == [1, 3]
    assert keys(("commodity", "Li"), ("commodity", "Cu"), ("deposit_type", "skarn")) == [3]
    with pytest.raises(UsageError, match=r"no deposit has commodity=Au; values of commodity .*: Be, Cu, Li$"):
        keys(("commodity", "Au"))
    with pytest.raises(UsageError, match=r"values of deposit_type .*: pegmatite$"):
        keys(("commodity", "Li"), ("deposit_type", "skarn"))
    with pytest.raises(UsageError, match=r"values of name there are: none"):
        keys(("name", "x"))
    with pytest.raises(UsageError, match=r"there are no deposits: bring them with `lode ingest deposits`"):
        choose_deposits([], ())
