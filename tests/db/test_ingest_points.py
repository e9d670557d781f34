"""Samples at points as layers in the database: with their error, again, replaced, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from psycopg import Connection

import ingest.evidence.points
from db.checks import run_checks
from db.errors import UsageError
from db.evidence import EvidenceArea, list_layers, read_error, read_layer
from ingest.evidence.areas import AreaRequest, ingest_area
from ingest.evidence.layers import LayerRequest, ingest_layer
from ingest.evidence.naming import NamedFile
from ingest.evidence.placed import GriddingSettings
from ingest.evidence.point_files import SampleReading
from ingest.evidence.points import PointRequest, ingest_points
from ingest.evidence.storing import LayerOutcome
from ingest.evidence.value_columns import ColumnChoice
from ingest.files import source_file
from tests.conftest import RunLode
from tests.ingest_files import write_geojson, write_tiff
from tests.role_logins import login, url_of
from tests.sampled_ground import GRID, field, gridded, places, truth, write_csv
from tests.support import lode_here

BOUNDS = (500_000.0, 4_855_000.0, 506_000.0, 4_860_000.0)
COMMON = ("--area", "north", "--kind", "geochemistry")


@pytest.fixture
def area(conn: Connection[Any]) -> EvidenceArea:
    made = ingest_area(conn, AreaRequest("north", bounds=BOUNDS, srid=32645, resolution_m=100)).area
    assert made.grid == GRID
    conn.commit()
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return survey(tmp_path / "soil.csv")


def survey(path: Path, seed: int = 1, count: int = 200) -> Path:
    xy = places(count, seed)
    return write_csv(path, xy, {"site": range(count), "Li_ppm": field(xy), "Cs": 1 / field(xy)})


def bring(conn: Connection[Any], path: Path, **options: Any) -> list[LayerOutcome]:
    choice = ColumnChoice(columns=tuple(options.pop("columns", ("Li_ppm",))), name=options.pop("name", None))
    settings = GriddingSettings(options.pop("method", None), None, options.pop("reach_m", None))
    reading = SampleReading(source_file(path), srid=options.pop("srid", 32645))
    kind = options.pop("kind", "geochemistry")
    return ingest_points(conn, PointRequest(reading, "north", kind, choice, settings, **options))


def stored_rows(conn: Connection[Any]) -> list[Any]:
    return conn.execute(
        "select name, kind, element, unit, source_name, sha256, resampling, tile_table, gridding"
        " from lode.evidence_layer order by 1"
    ).fetchall()


def test_values_and_errors_come_back_as_they_were(
    conn: Connection[Any], area: EvidenceArea, path: Path, database_url: str
) -> None:
    (outcome,) = bring(conn, path)
    conn.commit()
    layer, expected = outcome.layer, gridded(path, "Li_ppm")
    assert list_layers(conn, area) == [layer]
    assert (layer.name, layer.element, layer.unit, layer.resampling) == ("Li", "Li", "ppm", "kriging")
    assert (layer.source_name, layer.source_resolution_m, layer.shift_x_px) == ("soil.csv", None, None)
    assert layer.error_kind == "kriging_standard_error"
    assert layer.gridding == expected.gridding
    np.testing.assert_array_equal(read_layer(conn, layer), expected.values)
    found = read_error(conn, layer)
    assert found is not None
    np.testing.assert_array_equal(found, expected.error)
    off = np.log(read_layer(conn, layer)) - np.log(truth())
    assert np.sqrt(np.nanmean(off**2)) < 0.2
    row = conn.execute(
        "select st_numbands(rast), st_value(rast, 2, 30, 20),"
        f" obj_description('lode_raster.{layer.tile_table}'::regclass)"
        f" from lode_raster.{layer.tile_table} where rid = 1"
    ).fetchone()
    assert row == (
        2,
        pytest.approx(float(found[19, 29])),
        "Layer Li of study area north (geochemistry, ppm); band 2: kriging_standard_error",
    )
    for result in run_checks(conn):
        if "raster table" in result.title or "tiles" in result.title:
            assert (result.faults, result.warnings) == ([], []), result.title
    with login(database_url, "lode_reader") as reader:
        seen = reader.execute(
            "select name, error_kind, gridding->>'transform', gridding->'variogram'->>'model'"
            " from lode_api.evidence_catalogue"
        ).fetchall()
        assert [row[:3] for row in seen] == [("Li", "kriging_standard_error", "log")]
        assert seen[0][3] in ("exponential", "spherical", "matern")


@pytest.mark.usefixtures("area")
def test_layers_of_rasters_have_no_error(conn: Connection[Any], tmp_path: Path) -> None:
    values = np.arange(3000, dtype=np.float32).reshape(1, 50, 60) + 1
    file = source_file(write_tiff(tmp_path / "a.tif", values))
    layer = ingest_layer(conn, LayerRequest(NamedFile(file, "a", None), "north", "geophysics")).layer
    assert (layer.error_kind, layer.gridding, read_error(conn, layer)) == (None, None, None)


@pytest.mark.usefixtures("area")
def test_the_same_again_changes_nothing_and_takes_no_time(
    conn: Connection[Any], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = bring(conn, path)
    before = stored_rows(conn)

    def never(*_arguments: object, **_options: object) -> None:
        raise AssertionError("it was gridded again")

    monkeypatch.setattr(ingest.evidence.points, "grid_samples", never)
    renamed = tmp_path / "renamed.csv"
    renamed.write_text(path.read_text().replace("\n", "\n\n"))
    for again, replace in ((path, False), (path, True), (renamed, False)):
        (outcome,) = bring(conn, again, replace=replace)
        assert (outcome.is_new, outcome.layer) == (False, first.layer)
    assert stored_rows(conn) == before


def test_others_replace_a_layer_on_request_only(
    conn: Connection[Any], area: EvidenceArea, path: Path, tmp_path: Path
) -> None:
    (first,) = bring(conn, path)
    conn.commit()
    before = stored_rows(conn)
    other = survey(tmp_path / "other.csv", 2)
    for attempt in (lambda: bring(conn, other), lambda: bring(conn, path, method="idw")):
        with pytest.raises(
            UsageError, match=r"has a layer 'Li' from soil.csv with another content: --replace"
        ):
            attempt()
        conn.rollback()
    assert stored_rows(conn) == before
    (outcome,) = bring(conn, path, method="idw", replace=True)
    conn.commit()
    assert (outcome.is_replacement, outcome.layer.error_kind) == (True, "cross_validation_error")
    assert list_layers(conn, area) == [outcome.layer]
    tables = conn.execute(
        "select relname::text from pg_class"
        " where relnamespace = 'lode_raster'::regnamespace and relkind = 'r' and relname like '%evidence%'"
    ).fetchall()
    assert {name for (name,) in tables} == {outcome.layer.tile_table}
    assert first.layer.tile_table != outcome.layer.tile_table
    # a raster takes its place, and samples that of a raster
    file = source_file(write_tiff(tmp_path / "Li.tif", read_layer(conn, outcome.layer)[None] + 1))
    raster = LayerRequest(NamedFile(file, "Li", "Li"), "north", "geochemistry", "ppm")
    with pytest.raises(UsageError, match="with another content and resampling: --replace"):
        ingest_layer(conn, raster)
    assert ingest_layer(conn, LayerRequest(raster.named, "north", raster.kind, "ppm", replace=True)).is_new
    with pytest.raises(UsageError, match="with another content: --replace"):
        bring(conn, path)


def test_one_bad_column_stores_nothing(conn: Connection[Any], area: EvidenceArea, tmp_path: Path) -> None:
    xy = places(60)
    bad = [-1.0, *field(xy)[1:]]
    path = write_csv(tmp_path / "s.csv", xy, {"Li": field(xy), "Be": bad})
    with pytest.raises(UsageError, match=r"column 'Be': 1 of 60 values are negative \(line 2: -1\)"):
        bring(conn, path, columns=("Li", "Be"))
    conn.commit()
    assert list_layers(conn, area) == []


def test_what_cannot_be_a_layer_leaves_nothing(
    conn: Connection[Any], area: EvidenceArea, path: Path, tmp_path: Path
) -> None:
    far = survey(tmp_path / "far.csv")
    far.write_text(far.read_text().replace(",48", ",49"))
    for options, said in (
        ({"kind": "guess"}, "--kind 'guess' is not known"),
        ({"method": "magic"}, "--gridding 'magic' is not known: choose one of kriging, idw"),
        ({"reach_m": -1.0}, "--reach-m -1: give a distance"),
        ({"reach_m": 0.01}, "no cell lies within 0.01 m of a sample"),
        ({"srid": None}, "say it with --srid"),
        ({"columns": ("Zz",)}, "has no column 'Zz'"),
        ({"columns": ()}, "which column holds the values"),
    ):
        with pytest.raises(UsageError, match=said):
            bring(conn, path, **options)
        conn.rollback()
    with pytest.raises(UsageError, match="no sample with a value lies near the study area"):
        bring(conn, far)
    conn.rollback()
    assert list_layers(conn, area) == []


def test_samples_beside_the_judged_ground_say_nothing(conn: Connection[Any], tmp_path: Path) -> None:
    judged = np.zeros((1, 50, 60), np.float32)
    judged[:, :, 50:] = 1
    file = source_file(write_tiff(tmp_path / "judged.tif", judged, transform=_place()))
    ingest_area(conn, AreaRequest("north", like=file, inside=[file]))
    xy = places(200)
    west = xy[xy[:, 0] < 503_000]
    path = write_csv(tmp_path / "s.csv", west, {"Li": field(west)})
    with pytest.raises(UsageError, match="has no value on the judged ground of study area 'north'"):
        bring(conn, path, columns=("Li",))
    (outcome,) = bring(conn, path, columns=("Li",), reach_m=2500)
    assert 0 < outcome.layer.valid_fraction < 1


def _place() -> Any:
    from affine import Affine

    return Affine(100, 0, 500_000, 0, -100, 4_860_000)


@pytest.mark.usefixtures("area")
def test_a_worker_brings_several_elements(
    conn: Connection[Any], path: Path, tmp_path: Path, database_url: str
) -> None:
    url = url_of(database_url, "lode_worker")
    done = lode_here(url, "ingest", "evidence", path, *COMMON, "--all-elements", "--srid", "32645")
    assert done.returncode == 0, done.stderr
    assert "soil.csv, column 'Li_ppm': gridding 200 samples onto 60 x 50 cells" in done.stdout
    assert "each of 200 samples estimated from the others is missed by a factor of 1." in done.stdout
    assert "stored layer Li of north (geochemistry): values taken by kriging" in done.stdout
    assert "stored layer Cs of north" in done.stdout
    again = lode_here(url, "ingest", "evidence", path, *COMMON, "--all-elements", "--srid", "32645").stdout
    assert again.count("is there already: same samples; nothing was changed") == 2
    points = [shapely.Point(*place) for place in places(40)]
    vector = write_geojson(tmp_path / "p.geojson", points, [{"W": 1 + n % 7} for n in range(40)])
    document = vector.read_text().replace(
        '"features"',
        '"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32645"}}, "features"',
        1,
    )
    vector.write_text(document)
    done = lode_here(url, "ingest", "evidence", vector, *COMMON, "--element", "W", "--gridding", "idw")
    assert done.returncode == 0, done.stderr
    assert "stored layer W of north (geochemistry): values taken by idw" in done.stdout
    assert [row[0] for row in stored_rows(conn)] == ["Cs", "Li", "W"]
    conn.commit()
    listed = lode_here(url, "evidence", "list").stdout
    assert "kriging standard error in band 2" in listed
    assert "cross validation error in band 2" in listed


@pytest.mark.usefixtures("area")
def test_options_of_rasters_and_of_samples_are_not_mixed(
    run_lode: RunLode, path: Path, tmp_path: Path
) -> None:
    raster = write_tiff(tmp_path / "a.tif", np.ones((1, 5, 5), np.float32))
    for arguments, said in (
        ((path, "--band", "1"), "soil.csv: --band is for rasters, and this is a file of samples"),
        ((raster, "--column", "Li"), "a.tif: --column is for files of samples, and this is none"),
        ((raster, path, "--gridding", "idw"), "a.tif: --gridding is for files of samples"),
    ):
        done = run_lode("ingest", "evidence", *arguments, *COMMON)
        assert done.returncode == 1
        assert said in done.stderr
