"""Samples at points gridded: values, errors, what is taken and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely

from db.errors import UsageError
from ingest.evidence.contents import parse_value
from ingest.evidence.gridded import Gridded
from ingest.evidence.kriging import fit_variogram
from ingest.evidence.placed import GriddingSettings
from ingest.evidence.point_files import SampleReading, is_sample_file, read_samples
from ingest.evidence.value_columns import ColumnChoice, called, value_columns
from ingest.files import source_file
from tests.ingest_files import some_pixels, write_geojson, write_tiff
from tests.sampled_ground import GRID, centers, field, gridded, placed, places, truth, write_csv

IDW = GriddingSettings("idw")


def cell_of(xy_m: Any) -> tuple[int, int]:
    return int((GRID.origin_y - xy_m[1]) // 100), int((xy_m[0] - GRID.origin_x) // 100)


def figures(layer: Gridded) -> dict[str, Any]:
    assert layer.gridding is not None
    return layer.gridding


def errors(layer: Gridded) -> Any:
    assert layer.error is not None
    return layer.error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    xy = places(600)
    return write_csv(tmp_path / "s.csv", xy, {"Li": field(xy)})


def test_kriging_finds_a_known_field(path: Path) -> None:
    layer = gridded(path)
    off = np.log(layer.values) - np.log(truth())
    assert np.isfinite(layer.values).mean() > 0.99
    assert np.sqrt(np.nanmean(off**2)) < 0.08  # the field's own deviation is 0.5
    assert (layer.resampling, layer.error_kind) == ("kriging", "kriging_standard_error")
    told = figures(layer)
    assert (told["transform"], told["error_unit"], told["samples"], told["neighbours"]) == (
        "log",
        "ln",
        600,
        32,
    )
    assert told["variogram"]["sill"] > 10 * told["variogram"]["nugget"] >= 0
    assert 500 < told["variogram"]["range_m"] < 10_000
    assert (told["cross_validation"]["samples"], told["cross_validation"]["correlation"] > 0.95) == (
        600,
        True,
    )
    assert abs(told["cross_validation"]["bias"]) < 0.02


def test_kriging_is_exact_at_samples_and_its_error_grows_with_their_distance(tmp_path: Path) -> None:
    middles = centers()
    chosen = np.sort(np.random.default_rng(3).choice(len(middles), 150, replace=False))
    xy = middles[chosen]
    layer = gridded(write_csv(tmp_path / "s.csv", xy, {"Li": field(xy)}))
    found, error = layer.values.ravel()[chosen], errors(layer).ravel()
    nugget = figures(layer)["variogram"]["nugget"]
    assert np.abs(np.log(found) - np.log(field(xy))).max() <= np.sqrt(nugget) + 1e-3
    assert error[chosen].max() <= np.sqrt(2 * nugget) + 1e-3
    distance = np.min(np.hypot(*(middles[:, None] - xy).transpose(2, 0, 1)), axis=1)
    by_distance = [
        np.nanmedian(error[(distance >= low) & (distance < low + 150)]) for low in (0, 150, 300, 450)
    ]
    assert by_distance == sorted(by_distance)
    assert by_distance[-1] > 1.3 * by_distance[0]


def test_errors_of_kriging_are_as_large_as_they_say(tmp_path: Path) -> None:
    xy = places(800, 5)
    noise = np.random.default_rng(6).normal(0, 0.3, len(xy))
    layer = gridded(write_csv(tmp_path / "s.csv", xy, {"Li": field(xy) * np.exp(noise)}))
    assert figures(layer)["variogram"]["nugget"] == pytest.approx(0.09, rel=0.4)
    assert figures(layer)["cross_validation"]["standardised_rmse"] == pytest.approx(1, abs=0.15)
    # the noise of single samples is not followed
    assert np.sqrt(np.nanmean((np.log(layer.values) - np.log(truth())) ** 2)) < 0.2
    assert np.nanmin(errors(layer)) > 0.25


def test_values_that_are_no_contents_are_gridded_as_they_are(tmp_path: Path) -> None:
    xy = places(300)
    values = np.log(field(xy)) * 40 - 120
    path = write_csv(tmp_path / "s.csv", xy, {"nT": values})
    for options in ({"kind": "geophysics"}, {"nodata": (float("nan"),)}):
        layer = gridded(path, "nT", **options)
        assert np.sqrt(np.nanmean((layer.values - (np.log(truth()) * 40 - 120)) ** 2)) < 8
        assert (figures(layer)["transform"], figures(layer)["error_unit"]) == ("none", "ppm")


@pytest.mark.parametrize("method", ["kriging", "idw"])
def test_blocks_do_not_show(tmp_path: Path, method: str) -> None:
    """Values and errors step no farther from block to block than within one."""
    xy = places(2000)
    layer = gridded(
        write_csv(tmp_path / "s.csv", xy, {"Li": field(xy)}), settings=GriddingSettings(method, 16)
    )
    told = figures(layer)
    side = max(round(np.sqrt(16) * told["spacing_m"] / 100), 4)
    steps = np.abs(np.diff(np.log(layer.values), axis=1))
    at_edges = np.arange(59) % side == side - 1
    assert np.median(steps[:, at_edges]) < 1.3 * np.median(steps[:, ~at_edges])


def test_inverse_distance_weighs_few_samples(tmp_path: Path) -> None:
    xy = np.array(
        [[500_550, 4_859_450], [505_550, 4_855_450]] + [[503_050 + 40 * n, 4_857_050] for n in range(8)]
    )
    values = [10, 1000, *[100] * 8]
    layer = gridded(
        write_csv(tmp_path / "s.csv", xy, {"Li": values}), settings=GriddingSettings(None, None, 9000)
    )
    assert (layer.resampling, layer.error_kind) == ("idw", "cross_validation_error")
    assert any("10 samples are too few to krige (30)" in note for note in layer.notes)
    assert layer.values[cell_of(xy[0])] == pytest.approx(10, rel=1e-4)
    assert layer.values[cell_of(xy[1])] == pytest.approx(1000, rel=1e-4)
    # halfway between two of ten samples: weights 1/d2 of logarithms
    place = np.array([501_750.0, 4_858_250.0])
    weights = 1 / ((xy - place) ** 2).sum(axis=1)
    expected = np.exp((weights * np.log(values)).sum() / weights.sum())
    assert layer.values[cell_of(place)] == pytest.approx(expected, rel=1e-4)
    # neighbours that agree say so, and those that do not as well
    assert errors(layer)[cell_of(xy[4])] < errors(layer)[cell_of(xy[0])]
    assert figures(layer)["variogram"] is None


def test_cells_out_of_reach_have_no_value(path: Path) -> None:
    xy = np.loadtxt(path, delimiter=",", skiprows=1)[:, :2]
    layer = gridded(path, settings=GriddingSettings(None, None, 180.0))
    distance = np.min(np.hypot(*(centers()[:, None] - xy).transpose(2, 0, 1)), axis=1).reshape(50, 60)
    np.testing.assert_array_equal(np.isfinite(layer.values), distance < 180)
    np.testing.assert_array_equal(np.isfinite(errors(layer)), distance < 180)
    own = placed(path)
    assert own.spacing_m == pytest.approx(1.09 * np.sqrt(6000 * 5000 / 600), rel=0.1)
    assert own.reach_m == 2 * own.spacing_m


def test_the_same_samples_give_the_same_layer(path: Path) -> None:
    first, second = gridded(path), gridded(path)
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(errors(first), errors(second))
    digests = {
        placed(path, settings=settings).digest
        for settings in (
            GriddingSettings(),
            GriddingSettings("kriging", 32),
            GriddingSettings("idw"),
            GriddingSettings(None, 20),
            GriddingSettings(None, None, 500),
        )
    }
    assert len(digests) == 4


def test_samples_at_one_place_are_averaged_and_those_beyond_the_edge_count(tmp_path: Path) -> None:
    xy = np.vstack([places(100), places(100), [[499_990.0, 4_857_000], [520_000, 4_857_000]]])
    values = np.concatenate([np.full(100, 10.0), np.full(100, 40.0), [20, 20]])
    values[0] = values[100] = 15
    found = placed(write_csv(tmp_path / "s.csv", xy, {"Li": values}))
    assert (found.counts["samples"], found.counts["samples_in_file"], found.counts["averaged"]) == (
        101,
        202,
        100,
    )
    assert (found.counts["out_of_reach"], found.counts["beyond_area"]) == (1, 1)
    assert sorted(set(np.exp(found.values).round(6))) == [15, 20]  # the geometric mean of 10 and 40
    said = "\n".join(found.notes)
    assert "100 samples share their place" in said
    assert "1 places lie out of reach" in said
    assert "1 places beyond the edge" in said


@pytest.mark.parametrize("factor", [1e-6, 0.03, 1.0, 1e4])
def test_the_unit_of_the_values_does_not_decide_the_variogram(factor: float) -> None:
    """A variogram of 0.05 nT and one of 50,000 pT is the same but for its unit."""
    xy_m, values = sampled_field()
    found, plain = fit_variogram(xy_m, values * factor, "x"), fit_variogram(xy_m, values, "x")
    assert found.name == plain.name
    assert found.range_m == pytest.approx(plain.range_m, rel=1e-3)
    assert found.sill == pytest.approx(plain.sill * factor**2, rel=1e-3)
    assert found.nugget == pytest.approx(
        plain.nugget * factor**2, rel=1e-2, abs=1e-4 * plain.sill * factor**2
    )
    assert found.fit_r2 == pytest.approx(plain.fit_r2, abs=1e-3)
    assert found.fit_r2 > 0.8


def sampled_field() -> tuple[Any, Any]:
    """Places (400, 2), m, and values (400,) of a smooth field with a little noise, deviation about 1."""
    random = np.random.default_rng(4)
    xy_m = random.uniform(0, 10_000, (400, 2))
    smooth = np.sin(xy_m[:, 0] / 1500) + np.cos(xy_m[:, 1] / 1900)
    return xy_m, smooth + random.normal(0, 0.1, 400)


def test_samples_on_a_line_are_warned_of(tmp_path: Path) -> None:
    x = np.linspace(500_100, 505_900, 80)
    xy = np.column_stack([x, 4_859_900 - (x - 500_100) * 0.8])
    layer = gridded(write_csv(tmp_path / "s.csv", xy, {"Li": field(xy)}))
    assert any(note.startswith("warning: the samples lie on one line") for note in layer.notes)
    assert 0.02 < np.isfinite(layer.values).mean() < 0.2


def test_samples_without_any_likeness_are_warned_of(tmp_path: Path) -> None:
    values = np.random.default_rng(1).lognormal(3, 1, 300)
    layer = gridded(write_csv(tmp_path / "s.csv", places(300), {"Li": values}))
    assert any("neighbours hardly agree" in note for note in layer.notes)
    assert np.nanstd(np.log(layer.values)) < 0.6


@pytest.mark.parametrize(
    ("written", "value", "side"),
    [
        ("12.5", 12.5, 0),
        (3, 3, 0),
        (" 1e3 ", 1000, 0),
        ("<5", 2.5, -1),
        ("< 0.5", 0.25, -1),
        ("＜5", 2.5, -1),
        ("<=5", 2.5, -1),
        (">100", 100, 1),
        ("-9999", -9999, 0),
    ],
)
def test_what_laboratories_write(written: object, value: float, side: int) -> None:
    assert parse_value(written) == (value, side)


def test_nothing_and_nonsense() -> None:
    for written in (None, "", " ", "NaN", "n/a", "-", "NULL"):
        assert np.isnan(parse_value(written)[0])
    for written in ("abc", "1,5", "1_000", "inf", "<", "<-5", "<0", "nd", True, float("inf"), [1]):
        with pytest.raises(ValueError):  # noqa: PT011
            parse_value(written)


def test_limits_zeros_and_gaps_are_told(tmp_path: Path) -> None:
    xy = places(60)
    values: list[Any] = [f"{value:.3f}" for value in field(xy)]
    values[:3] = ["<5", "<2", ""]
    values[3:5] = ["0", "-1"]
    found = placed(write_csv(tmp_path / "s.csv", xy, {"Li": values}), nodata=(-1,))
    contents = np.sort(np.exp(found.values))
    assert contents[:3] == pytest.approx([0.5, 1, 2.5])  # half of <2 is the smallest, and 0 is half of that
    assert (found.counts["samples"], found.counts["below_limit"], found.counts["without_value"]) == (58, 2, 2)
    said = "\n".join(found.notes)
    assert "2 of 60 samples have no Li: they are left out" in said
    assert "2 of 58 values lie below a limit of detection: half of it is taken" in said
    assert "1 contents are 0" in said


def test_other_reference_systems_and_files(path: Path, tmp_path: Path) -> None:
    """Longitude and latitude, a vector file, heights, and Chinese headers tell of the same places."""
    xy = np.loadtxt(path, delimiter=",", skiprows=1)
    expected = placed(path)
    lonlat = np.column_stack(
        pyproj.Transformer.from_crs(32645, 4326, always_xy=True).transform(xy[:, 0], xy[:, 1])
    )
    values = {"Li": xy[:, 2]}
    for names in (("lon", "lat"), ("经度", "纬度"), ("Longitude", "Latitude")):
        found = placed(write_csv(tmp_path / "d.csv", lonlat, values, names=names), srid=4326)
        assert found.xy_m == pytest.approx(expected.xy_m, abs=1e-3)
    points = [shapely.Point(*place, 800.0) for place in lonlat]
    vector = write_geojson(
        tmp_path / "p.geojson", points, [{"Li": value, "X": 1.0, "Y": 2.0} for value in xy[:, 2]]
    )
    found = placed(vector, srid=None)
    assert found.xy_m == pytest.approx(expected.xy_m, abs=1e-3)
    assert found.values == pytest.approx(expected.values)
    table = read_samples(SampleReading(source_file(vector)), GRID)
    assert [
        each.column for each in value_columns(table, ColumnChoice(all_elements=True), kind="geochemistry")
    ] == ["Li"]  # Y beside X is no yttrium


def test_which_files_hold_samples(path: Path, tmp_path: Path) -> None:
    assert is_sample_file(source_file(path))
    raster = write_tiff(tmp_path / "a.tif", some_pixels())
    assert not is_sample_file(source_file(raster))
    assert not is_sample_file(source_file(raster.rename(tmp_path / "a.csv")))


def test_columns_called_by_elements() -> None:
    assert called("Li") == ("Li", None)
    assert called("Li_ppm") == ("Li", "ppm")
    assert called("Fe2O3 (%)") == ("Fe2O3", "%")
    assert called("Au ppb") == ("Au", "ppb")
    assert called("Fe2O3_pct") == ("Fe2O3", "%")
    for column in ("li", "LI_ppm", "Litho", "sample", "Li_total", "LiO"):
        assert called(column) is None


def test_columns_become_layers(tmp_path: Path) -> None:
    xy = places(20)
    columns = {"no": range(20), "site": ["a"] * 20, "Li_ppm": field(xy), "Cs": field(xy)}
    path = write_csv(tmp_path / "s.csv", xy, columns)
    samples = read_samples(SampleReading(source_file(path), srid=32645), GRID)

    def named(kind: str = "geochemistry", **choice: Any) -> list[tuple[str, str, str | None, str | None]]:
        found = value_columns(samples, ColumnChoice(**choice), kind=kind)
        return [(each.column, each.name, each.element, each.unit) for each in found]

    lithium, caesium = ("Li_ppm", "Li", "Li", "ppm"), ("Cs", "Cs", "Cs", None)
    assert named(all_elements=True) == [lithium, caesium]
    assert named(columns=("Cs", "Li_ppm")) == [caesium, lithium]
    assert named(element="Li") == [lithium]
    assert named(columns=("Cs",), name="Cs soil", unit="ppm") == [("Cs", "Cs soil", "Cs", "ppm")]
    assert named("geophysics", columns=("Cs",)) == [("Cs", "Cs", None, None)]
    for choice, said in (
        ({"columns": ("Be",)}, "has no column 'Be'; its columns of values are no, site, Li_ppm, Cs"),
        ({}, "which column holds the values"),
        ({"columns": ("Cs", "Li_ppm"), "name": "a"}, "say something of one layer, and 2 columns"),
        ({"columns": ("Cs",), "all_elements": True}, "leave --column, --element and --name out"),
        ({"columns": ("Cs",), "element": "Xx"}, "'Xx' is no element"),
        ({"columns": ("Li_ppm",), "unit": "ppb"}, "says that it is in ppm, and --unit ppb"),
    ):
        with pytest.raises(UsageError, match=said):
            named(**choice)
    with pytest.raises(UsageError, match="--all-elements is for --kind geochemistry"):
        named("geology", all_elements=True)


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        gridded(path, **options)
    return str(caught.value)


def test_bad_values_are_named(tmp_path: Path) -> None:
    xy = places(40)
    good = [f"{value:.2f}" for value in field(xy)]
    for bad, said in (
        (
            ["abc", "1,5", *good[2:]],
            "2 of 40 values are no numbers: line 2: 'abc'; line 3: '1,5'. Write numbers",
        ),
        (["-3.5", *good[1:]], "1 of 40 values are negative (line 2: -3.5)"),
        (["-9999"] * 2 + good[2:], "if -9999 marks samples without value say --nodata -9999"),
        ([""] * 40, "no sample has a value"),
        (["7"] * 40, "all 40 samples have the value 7: a constant layer is evidence of nothing"),
        (["0"] * 40, "all 40 samples have the value 0"),
        ([*good[:7], *[""] * 33], "only 7 places with samples lie on the study area or within"),
    ):
        assert said in refused(write_csv(tmp_path / "s.csv", xy, {"Li": bad}))
    one_place = np.tile(xy[:1], (40, 1))
    assert "only 1 places" in refused(write_csv(tmp_path / "s.csv", one_place, {"Li": good}))


def test_bad_places_are_named(tmp_path: Path) -> None:
    xy = places(40)
    values = {"Li": field(xy)}
    path = write_csv(tmp_path / "s.csv", xy, values)
    assert "say it with --srid, 4326 for longitude and latitude" in refused(path, srid=None)
    assert "--x-column 'east': its columns are x, y, Li" in refused(path, x_column="east")
    assert "are both 'x'" in refused(path, x_column="x", y_column="x")
    said = refused(path, x_column="y", y_column="x")
    assert "swapped" in said
    nameless = write_csv(tmp_path / "n.csv", xy, values, names=("a", "b"))
    assert "which columns hold the coordinates? Name them with --x-column" in refused(nameless)
    gap = xy.astype(object)
    gap[3, 0], gap[5, 1] = "", "north"
    said = refused(write_csv(tmp_path / "g.csv", gap, values))
    assert "2 of 40 samples have no place: x and y are to be numbers with a decimal point: line 5: " in said
    far = refused(write_csv(tmp_path / "f.csv", xy + np.array([40_000, 0]), values))
    assert (
        "no sample with a value lies near the study area: the samples cover longitude 87.501 to 87.57" in far
    )
    assert "the area longitude 87 to 87.075" in far
    shapes = write_geojson(tmp_path / "p.geojson", [shapely.box(87, 43, 88, 44)], [{"Li": 1}])
    assert "is a Polygon, where points are expected" in refused(shapes, srid=None)
    assert "--x-column and --y-column are for tables" in refused(shapes, srid=None, x_column="a")
    over = write_csv(tmp_path / "o.csv", xy * [1, 3], values)
    assert "lies far from where EPSG:32645 is used" in refused(over)


def test_samples_in_one_spot_cannot_be_kriged(tmp_path: Path) -> None:
    corners = [[500_010, 4_855_010], [505_990, 4_859_990], [500_010, 4_859_990], [505_990, 4_855_010]]
    xy = np.vstack([corners, np.random.default_rng(1).normal([503_000, 4_857_000], 1, (30, 2))])
    path = write_csv(tmp_path / "s.csv", xy, {"Li": field(xy)})
    said = refused(path)
    assert "s.csv, column 'Li': the samples cannot be kriged: too few of them lie at different" in said
    assert gridded(path, settings=IDW).resampling == "idw"


def test_too_few_to_krige_is_told(tmp_path: Path) -> None:
    xy = places(20)
    path = write_csv(tmp_path / "s.csv", xy, {"Li": field(xy)})
    said = refused(path, settings=GriddingSettings("kriging"))
    assert (
        "20 places with samples near the study area are too few to krige, which takes 30: --gridding idw"
        in said
    )
    assert gridded(path, settings=IDW).resampling == "idw"
    assert "no cell lies within 0.5 m of a sample" in refused(
        path, settings=GriddingSettings(None, None, 0.5)
    )
