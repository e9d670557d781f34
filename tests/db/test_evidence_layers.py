"""Layers of evidence in the database: stored, repeated, replaced, removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from affine import Affine
from psycopg import Connection
from psycopg.types.json import Jsonb

import db.evidence
from db.checks import run_checks
from db.connection import connect
from db.errors import RetryError, UsageError
from db.evidence import (
    EvidenceArea,
    area_by_name,
    delete_area,
    delete_layer,
    drop_tiles,
    find_layer,
    layers_by_name,
    list_layers,
    read_layer,
)
from ingest.evidence.areas import AreaRequest, ingest_area
from ingest.evidence.layers import LayerRequest, ingest_layer
from ingest.evidence.naming import NamedFile
from ingest.evidence.storing import LayerOutcome
from ingest.files import source_file
from tests.conftest import RunLode
from tests.ingest_files import write_geojson, write_tiff
from tests.role_logins import denied, login, url_of
from tests.support import lode_here

NAN = float("nan")
PLACE = Affine(100, 0, 500_000, 0, -100, 4_860_000)
Values = npt.NDArray[np.float32]


def survey(seed: int = 1, width: int = 300, height: int = 280) -> Values:
    """Contents with a hole, on more than one tile."""
    values = np.random.default_rng(seed).gamma(2, 10, (height, width)).astype(np.float32)
    values[40:60, 200:] = NAN
    return values


def written(path: Path, values: Values, place: Affine = PLACE, **profile: Any) -> Path:
    return write_tiff(path, values[np.newaxis], transform=place, **profile)


@pytest.fixture
def area(conn: Connection[Any]) -> EvidenceArea:
    bounds = (500_000.0, 4_832_000.0, 530_000.0, 4_860_000.0)
    made = ingest_area(conn, AreaRequest("north", bounds=bounds, srid=32645, resolution_m=100)).area
    conn.commit()
    return made


def bring(conn: Connection[Any], path: Path, name: str = "Li", **options: Any) -> LayerOutcome:
    named = NamedFile(source_file(path), name, options.pop("element", None))
    return ingest_layer(conn, LayerRequest(named, "north", options.pop("kind", "geochemistry"), **options))


def raster_tables(conn: Connection[Any]) -> set[str]:
    rows = conn.execute(
        "select relname::text from pg_class"
        " where relnamespace = 'lode_raster'::regnamespace and relkind = 'r'"
    )
    return {name for (name,) in rows}


@contextmanager
def as_before(conn: Connection[Any]) -> Iterator[None]:
    """Nothing may be left of what is refused within."""
    conn.commit()
    before = raster_tables(conn), conn.execute("select * from lode.evidence_layer").fetchall()
    yield
    conn.rollback()
    assert (raster_tables(conn), conn.execute("select * from lode.evidence_layer").fetchall()) == before


def assert_clean(conn: Connection[Any]) -> None:
    for result in run_checks(conn):
        if "raster table" in result.title or "tiles" in result.title:
            assert (result.faults, result.warnings) == ([], []), result.title


def test_values_come_back_as_they_were(
    conn: Connection[Any], area: EvidenceArea, tmp_path: Path, database_url: str
) -> None:
    values = survey()
    path = written(tmp_path / "Idw_Li.tif", values, nodata=NAN)
    outcome = bring(conn, path, element="Li", unit="ppm")
    conn.commit()
    layer = outcome.layer
    assert (outcome.is_new, outcome.is_replacement) == (True, False)
    assert layers_by_name(conn, area, ["Li"]) == list_layers(conn, area) == [layer]
    assert (layer.kind, layer.element, layer.unit) == ("geochemistry", "Li", "ppm")
    assert (layer.source_name, layer.resampling) == ("Idw_Li.tif", "none")
    assert (layer.source_resolution_m, layer.shift_x_px, layer.shift_y_px) == (100, 0, 0)
    assert layer.sha256 == source_file(path).sha256()
    assert layer.valid_fraction == pytest.approx(1 - 20 * 100 / (300 * 280), abs=1e-12)
    assert layer.tile_table == f"evidence_{layer.evidence_layer_id}"
    np.testing.assert_array_equal(read_layer(conn, layer), values)
    tables = {layer.tile_table, f"o_2_{layer.tile_table}"}
    assert raster_tables(conn) == tables
    row = conn.execute(
        "select st_value(rast, 1, 1), st_value(rast, 250, 50), st_bandnodatavalue(rast)::text"
        f" from lode_raster.{layer.tile_table} where rid = 1"
    ).fetchone()
    assert row == (pytest.approx(float(values[0, 0])), None, "NaN")
    assert_clean(conn)
    with login(database_url, "lode_reader") as reader:
        seen = reader.execute(
            "select area, name, element, unit, srid, width_px, tile_table, st_geometrytype(geom)"
            " from lode_api.evidence_catalogue"
        ).fetchall()
        assert seen == [("north", "Li", "Li", "ppm", 32645, 300, layer.tile_table, "ST_MultiPolygon")]
        assert np.array_equal(read_layer(reader, layer), values, equal_nan=True)
    with login(database_url, "lode_analyst", autocommit=False) as analyst:
        assert list_layers(analyst, area_by_name(analyst, "north")) == [layer]
        with denied("42501"):
            bring(analyst, written(tmp_path / "b.tif", survey(2)), "B")


def test_coarse_layers_in_another_crs_lie_on_the_areas_grid(
    conn: Connection[Any], area: EvidenceArea, tmp_path: Path
) -> None:
    ramp = np.tile(np.arange(100, dtype=np.float32), (80, 1))
    place = Affine(0.005, 0, 86.95, 0, -0.005, 43.95)
    outcome = bring(conn, written(tmp_path / "a.tif", ramp, place, crs="EPSG:4326"), kind="geophysics")
    layer = outcome.layer
    assert (layer.resampling, layer.shift_x_px, layer.shift_y_px) == ("bilinear", None, None)
    assert layer.source_resolution_m == pytest.approx(402, abs=1)
    values = read_layer(conn, layer)
    assert values.shape == (280, 300)
    assert layer.valid_fraction == np.isfinite(values).mean() == 1
    lon, _lat = np.array(_lonlat(500_050 + 100 * 120, 4_859_950 - 100 * 90))
    assert values[90, 120] == pytest.approx((lon - 86.95) / 0.005 - 0.5, abs=1e-3)


def _lonlat(x: float, y: float) -> tuple[float, float]:
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(32645, 4326, always_xy=True).transform(x, y)
    return lon, lat


def test_the_share_with_values_is_that_of_the_judged_ground(conn: Connection[Any], tmp_path: Path) -> None:
    judged = np.zeros((280, 300), np.float32)
    judged[100:200, :] = 1
    file = source_file(written(tmp_path / "judged.tif", judged))
    ingest_area(conn, AreaRequest("north", like=file, inside=[file]))
    values = survey()
    values[:] = NAN
    values[150:, :200] = survey(3)[150:, :200]
    layer = bring(conn, written(tmp_path / "a.tif", values)).layer
    assert layer.valid_fraction == pytest.approx(50 * 200 / (100 * 300))
    # values everywhere but on the judged ground, and values that differ elsewhere alone
    with (
        as_before(conn),
        pytest.raises(UsageError, match="no value on the judged ground of study area 'north'"),
    ):
        bring(conn, written(tmp_path / "b.tif", np.where(judged > 0, np.float32(NAN), survey())), "b")
    flat = np.where(judged > 0, np.float32(4.5), survey())
    with (
        as_before(conn),
        pytest.raises(UsageError, match=r"has the value 4.5 everywhere on the judged ground"),
    ):
        bring(conn, written(tmp_path / "c.tif", flat), "c")


@pytest.mark.usefixtures("area")
def test_the_same_again_changes_nothing(conn: Connection[Any], tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", survey())
    first = bring(conn, path)
    with as_before(conn):
        for replace in (False, True):
            again = bring(conn, path, replace=replace)
            assert (again.is_new, again.layer) == (False, first.layer)
        packed = written(tmp_path / "b.tif", survey(), compress="deflate")
        assert not bring(conn, packed).is_new
        conn.commit()


def test_other_content_replaces_a_layer_on_request_only(
    conn: Connection[Any], area: EvidenceArea, tmp_path: Path
) -> None:
    first = bring(conn, written(tmp_path / "a.tif", survey()), unit="ppm").layer
    kept = bring(conn, written(tmp_path / "k.tif", survey(9)), "B").layer
    other = written(tmp_path / "b.tif", survey(2))
    for options, what in (({}, "content and unit"), ({"unit": "ppm"}, "content")):
        with as_before(conn), pytest.raises(UsageError, match=f"with another {what}: --replace"):
            bring(conn, other, **options)
    with as_before(conn), pytest.raises(UsageError, match="with another unit: --replace"):
        bring(conn, tmp_path / "a.tif", unit="ppb")
    outcome = bring(conn, other, unit="ppb", replace=True)
    conn.commit()
    assert (outcome.is_new, outcome.is_replacement, outcome.layer.unit) == (True, True, "ppb")
    assert list_layers(conn, area) == [kept, outcome.layer]
    np.testing.assert_array_equal(read_layer(conn, outcome.layer), survey(2))
    tables = {f"{start}{layer.tile_table}" for layer in (kept, outcome.layer) for start in ("", "o_2_")}
    assert raster_tables(conn) == tables
    assert first.tile_table not in tables
    assert_clean(conn)


def test_a_layer_that_is_read_is_replaced_later(
    conn: Connection[Any],
    area: EvidenceArea,
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = bring(conn, written(tmp_path / "a.tif", survey())).layer
    conn.commit()
    monkeypatch.setattr(db.evidence, "_ATTEMPT_MS", 50)
    with connect(database_url) as reader, as_before(conn):
        reader.execute(f"select count(*) from lode_raster.{first.tile_table}".encode())
        delete = "delete from lode.evidence_layer where evidence_layer_id = %s"
        conn.execute(delete, (first.evidence_layer_id,))
        with pytest.raises(RetryError, match="tiles of layer 'Li' were being read for 0 s"):
            drop_tiles(conn, first, wait_s=0.2)
        assert conn.execute("show lock_timeout").fetchone() == ("0",)
    assert find_layer(conn, area, "Li") == first
    delete_layer(conn, first)
    conn.commit()
    assert raster_tables(conn) == set()


def test_sets_of_patches_hold_their_area_and_are_told_of_a_new_layer(
    conn: Connection[Any], area: EvidenceArea, tmp_path: Path
) -> None:
    bring(conn, written(tmp_path / "a.tif", survey()))
    conn.execute(
        "insert into lode.prospect_set (name, evidence_area_id, patch_px, spacing_m, channels, deposit_ids,"
        " buffer_m, positive_share, split_rule, seed, parameters)"
        " values ('lithium', %s, 10, 100, %s, '{}', 100, 0.5, 'block', 1, '{}')",
        (area.evidence_area_id, Jsonb([{"name": "Li", "kind": "evidence", "center_nm": None}])),
    )
    with as_before(conn), pytest.raises(UsageError, match="'north' stays: sets of patches or searches"):
        delete_area(conn, area)
    outcome = bring(conn, written(tmp_path / "b.tif", survey(2)), replace=True)
    assert "warning: set of patches 'lithium' was cut from the layer as it was: make it anew" in outcome.notes
    assert bring(conn, written(tmp_path / "c.tif", survey(3)), "B").notes[1:] == ()


@pytest.mark.usefixtures("area")
def test_what_cannot_be_a_layer_leaves_nothing(conn: Connection[Any], tmp_path: Path) -> None:
    good = written(tmp_path / "a.tif", survey())
    far = written(tmp_path / "far.tif", survey(), Affine(100, 0, 900_000, 0, -100, 4_860_000))
    named = NamedFile(source_file(good), "Li", None)
    for ask, said in (
        (
            lambda: ingest_layer(conn, LayerRequest(named, "south", "geology")),
            "no study area 'south'; there are: n",
        ),
        (lambda: ingest_layer(conn, LayerRequest(named, "north", "guess")), "--kind 'guess' is not known"),
        (lambda: bring(conn, far), "lies outside of the study area"),
        (lambda: bring(conn, good, element="Lithium"), "'Lithium' is no element"),
        (lambda: bring(conn, good, " "), "layer name ' '"),
        (lambda: bring(conn, good, unit=" ppm"), "--unit ' ppm'"),
        (lambda: bring(conn, good, resampling="cubic"), "--resampling 'cubic' is not known"),
        (
            lambda: bring(conn, written(tmp_path / "flat.tif", np.full_like(survey(), 3))),
            "evidence of nothing",
        ),
        (
            lambda: bring(conn, written(tmp_path / "nan.tif", np.full_like(survey(), NAN))),
            "has no value over",
        ),
        (lambda: bring(conn, written(tmp_path / "m.tif", np.fmax(survey(), 50) - 51)), "lowest value is -1"),
    ):
        with as_before(conn), pytest.raises(UsageError, match=said):
            ask()
    with pytest.raises(UsageError, match="has no layers: bring them with"):
        layers_by_name(conn, area_by_name(conn, "north"))


@pytest.mark.usefixtures("area")
def test_a_worker_brings_replaces_and_removes(
    conn: Connection[Any], tmp_path: Path, database_url: str
) -> None:
    url = url_of(database_url, "lode_worker")
    common = ("--area", "north", "--kind", "geochemistry", "--name-pattern", "Idw_{element}.tif")
    paths = [
        written(tmp_path / f"Idw_{name}.tif", survey(at)) for at, name in enumerate(("Li", "Be", "SiO2"))
    ]
    done = lode_here(url, "ingest", "evidence", *paths, *common, "--unit", "ppm")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line[:5] for line in lines] == ["[1/3]", "[1/3]", "[2/3]", "[2/3]", "[3/3]", "[3/3]"]
    assert "Idw_Li.tif: its cells of 100 x 100 m are those of the grid" in lines[0]
    assert "stored layer SiO2 of north (geochemistry): values taken as they are, on 97.6%" in lines[5]
    again = lode_here(url, "ingest", "evidence", *paths, *common, "--unit", "ppm").stdout
    assert again.count("is there already: same values; nothing was changed") == 3
    # the second of three files is another one: the first is stored, the third is not
    written(paths[1], survey(7))
    new = [written(tmp_path / f"Idw_{name}.tif", survey(at)) for at, name in enumerate(("Sn", "W"), 20)]
    stopped = lode_here(url, "ingest", "evidence", new[0], paths[1], new[1], *common, "--unit", "ppm")
    assert (stopped.returncode, "1 of 3 files are in the database" in stopped.stdout) == (1, True)
    assert "Idw_Be.tif: study area 'north' has a layer 'Be'" in stopped.stderr
    replaced = lode_here(url, "ingest", "evidence", new[0], paths[1], *common, "--unit", "ppm", "--replace")
    assert replaced.returncode == 0, replaced.stderr
    assert "replaced layer Be of north" in replaced.stdout
    area = area_by_name(conn, "north")
    layers = {layer.name: layer for layer in list_layers(conn, area)}
    assert list(layers) == ["Li", "SiO2", "Sn", "Be"]
    np.testing.assert_array_equal(read_layer(conn, layers["Be"]), survey(7))
    assert len(raster_tables(conn)) == 8
    assert_clean(conn)
    owners = conn.execute(
        "select distinct relowner::regrole::text from pg_class"
        " where relnamespace = 'lode_raster'::regnamespace and relkind = 'r'"
    ).fetchall()
    assert owners == [("lode_owner",)]
    conn.commit()  # it read the tiles that go now
    listed = lode_here(url_of(database_url, "lode_analyst"), "evidence", "list").stdout
    assert "north: 300 x 280 cells of 100 m, EPSG:32645, 4 layers" in listed
    assert f"Li  geochemistry ppm  97.6% valid  Idw_Li.tif  lode_raster.{layers['Li'].tile_table}" in listed
    assert lode_here(url, "evidence", "remove", "north", "Xx").returncode == 1
    assert "removed 2 layers" in lode_here(url, "evidence", "remove", "north", "Li", "Be").stdout
    assert [layer.name for layer in list_layers(conn, area)] == ["SiO2", "Sn"]
    assert len(raster_tables(conn)) == 4
    conn.commit()
    assert "study area north and its 2 layers" in lode_here(url, "evidence", "remove", "north").stdout
    assert raster_tables(conn) == set()
    assert_clean(conn)


def test_tiles_that_are_in_use_are_not_dropped(
    conn: Connection[Any], area: EvidenceArea, tmp_path: Path, database_url: str
) -> None:
    layer = bring(conn, written(tmp_path / "a.tif", survey())).layer
    other = bring(conn, written(tmp_path / "b.tif", survey(2)), "B").layer
    conn.commit()
    call = "select lode_api.drop_tile_table(%s, %s, %s)"
    of_layer = ("evidence_tile", layer.evidence_layer_id, layer.tile_table)
    with login(database_url, "lode_worker", autocommit=False) as worker:
        gone = "delete from lode.evidence_layer where evidence_layer_id = %s"
        for arguments in (
            of_layer,
            ("evidence_tile", layer.evidence_layer_id, other.tile_table),
            ("scene_tile", layer.evidence_layer_id, layer.tile_table),
            ("geology_tile", layer.evidence_layer_id, layer.tile_table),
            ("evidence_tile", None, layer.tile_table),
            (None, layer.evidence_layer_id, layer.tile_table),
        ):
            with denied("22023"):
                worker.execute(call, arguments)
            worker.rollback()
        worker.execute(gone, (layer.evidence_layer_id,))
        with denied("22023"):
            worker.execute(call, ("evidence_tile", layer.evidence_layer_id, other.tile_table))
        worker.rollback()
    for role in ("lode_reader", "lode_analyst"):
        with login(database_url, role) as login_of, denied("42501"):
            login_of.execute(call, of_layer)
    assert list_layers(conn, area) == [layer, other]
    np.testing.assert_array_equal(read_layer(conn, layer), survey())


def test_two_commands_do_not_bring_one_layer_twice(
    conn: Connection[Any], area: EvidenceArea, tmp_path: Path, database_url: str
) -> None:
    """The second waits for the first, and then finds what it brought."""
    import threading

    from tests.support import await_waiting

    path = written(tmp_path / "a.tif", survey())
    first = bring(conn, path).layer
    outcomes: list[LayerOutcome] = []

    def second() -> None:
        with connect(database_url) as other:
            outcomes.append(bring(other, path))

    thread = threading.Thread(target=second)
    thread.start()
    with connect(database_url) as watching:
        await_waiting(watching)
    conn.commit()
    thread.join(60)
    assert [(outcome.is_new, outcome.layer) for outcome in outcomes] == [(False, first)]
    assert list_layers(conn, area) == [first]


def test_polygons_say_where_the_area_is_judged_by_command(run_lode: RunLode, tmp_path: Path) -> None:
    import shapely

    ground = write_geojson(tmp_path / "g.geojson", [shapely.box(87.05, 43.75, 87.1, 43.8)], [{}])
    like = written(tmp_path / "Idw_Li.tif", survey())
    assert run_lode("ingest", "area", "north", "--like", like, "--inside", ground).returncode == 0
    done = run_lode(
        "ingest", "evidence", like, "--area", "north", "--kind", "geochemistry", "--element", "Li"
    )
    assert done.returncode == 0, done.stderr
    assert "on 100.0% of the judged ground" in done.stdout
