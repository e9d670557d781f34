"""Searches over other ground than that of training: what is matched, what is told, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
import torch
from psycopg import Connection

from db.connection import connect
from db.errors import UsageError
from db.raster import Grid
from db.registry import model_by_name, retire_model
from db.scenes import SceneBand
from inference.prospect.apply import SearchOutcome, SearchRequest, search_ground
from inference.prospect.channels import Channel
from inference.prospect.matched_ground import Origin, matched_area
from inference.prospect.trained import load_prospect_model
from tests.db import searched_ground as made

OTHER = SearchRequest("net", product="other", device_name="cpu")


@pytest.fixture
def conn(searched_copy: str) -> Iterator[Connection[Any]]:
    with connect(searched_copy) as connection:
        yield connection


def targets(conn: Connection[Any], outcome: SearchOutcome) -> list[tuple[Any, ...]]:
    found = conn.execute(
        "select cells, mean_probability, evidence, st_astext(st_centroid(geom)) from lode.prospect_target"
        " where prospect_run_id = %s order by rank",
        (outcome.run_id,),
    ).fetchall()
    conn.rollback()
    return found


def sources(conn: Connection[Any]) -> list[list[str]]:
    row = conn.execute("select parameters -> 'channels' from lode.prospect_run").fetchone()
    conn.rollback()
    assert row is not None
    return [channel["sources"] for channel in row[0]]


def test_another_instrument_in_another_zone_finds_the_same(
    searched_copy: str, conn: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made.answer_by_rule(monkeypatch, 1)
    # 822 and 838 nm in place of 830; what is faulty is passed over, what has no wavelength does not matter
    centers = (2247.0, 838.0, 2203.0, 899.0, 822.0, 783.0, 2166.0, 830.0)
    bands = [SceneBand(f"X{place}", None, center, 10.0) for place, center in enumerate(centers)]
    bands[7] = replace(bands[7], fault="stripes")
    values = made.spectra()[[5, 1, 4, 2, 1, 0, 3, 0]]
    bands.append(SceneBand("pan"))
    values = np.concatenate([values, values[:1]])
    # zone 43, somewhat larger pixels
    grid = Grid(32643, 1_040_000.0, 3_990_000.0, 31.0, 31.0, made.WIDTH, made.HEIGHT)
    made.add_scene(conn, "other", values, bands=bands, grid=grid)
    conn.commit()
    said: list[str] = []
    outcome = search_ground(searched_copy, replace(OTHER, threshold=0.7), said.append)
    assert sources(conn) == [
        *(["X5"], ["X4", "X1"], ["X3"], ["X6"], ["X2"], ["X0"]),
        *(["fault_distance_m"], ["pluton_distance_m"]),
    ]
    assert any("8 channels, 1 of them interpolated between bands" in line for line in said)
    ((cells, _mean, evidence, _place),) = targets(conn, outcome)
    assert cells == 2
    assert evidence[0]["name"] == "beryl 830 nm"
    stored = conn.execute("select cell_m, figures -> 'shift' -> 'warnings' from lode.prospect_run").fetchone()
    assert stored is not None
    assert stored[0] == 155.0
    # that ground lies elsewhere: farther from fault and pluton than any of training
    assert any("fault_distance_m" in line for line in stored[1])
    assert any(line.startswith("warning: unlike the ground of training") for line in said)


def test_a_band_without_values_is_done_without(searched_copy: str, conn: Connection[Any]) -> None:
    values = np.concatenate([made.spectra(), made.spectra()[[1, 1]]])
    values[1] = np.nan
    bands = [*made.BANDS, SceneBand("left", None, 820.0, 12.0), SceneBand("right", None, 842.0, 12.0)]
    made.add_scene(conn, "other", values, bands=bands)
    conn.commit()
    said: list[str] = []
    search_ground(searched_copy, OTHER, said.append)
    assert sources(conn)[1] == ["left", "right"]
    assert "scene other: no values in B1, matching without" in said


def test_cells_under_cloud_are_not_scored(searched_copy: str, conn: Connection[Any]) -> None:
    made.add_scene(conn, "other", clouded=made.square(0, 0, 30, made.HEIGHT))
    conn.commit()
    outcome = search_ground(searched_copy, OTHER)
    cols = conn.execute("select min(col_px), max(col_px), count(*) from lode.prospect").fetchone()
    assert cols == (6, 11, 6 * 8)
    assert outcome.figures["cells"] == 48
    assert outcome.figures["judged_share"] == 0.5


def area_layers(seed: int) -> dict[str, made.Floats]:
    rng = np.random.default_rng(seed)
    layers = {name: rng.lognormal(3, 0.2, (made.HEIGHT, made.WIDTH)) for name in ("Li", "Cs", "Ba")}
    layers["Li"][made.ORE] *= 0.3
    layers["Cs"][made.ORE] *= 4
    return {name: values.astype(np.float32) for name, values in layers.items()}


def test_a_study_area_is_searched_by_its_layers(
    searched_copy: str, conn: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made.answer_by_rule(monkeypatch, 0)
    layers = area_layers(1)
    channels = [Channel(name, "evidence") for name in layers]
    made.add_model(
        conn, "layers", channels, np.stack(list(layers.values())), level=None, elements={"Li": "Li"}
    )
    there = {"lithium": layers["Li"], "Cs": layers["Cs"], "Ba": layers["Ba"], "odd": layers["Ba"]}
    judged = made.square(0, 0, 45, made.HEIGHT)
    made.add_area(conn, "district", there, elements={"lithium": "Li"}, judged=judged)
    conn.commit()
    request = SearchRequest("layers", area="district", threshold=0.7, device_name="cpu")
    outcome = search_ground(searched_copy, request)
    assert sources(conn) == [["lithium"], ["Cs"], ["Ba"]]
    ((cells, _mean, evidence, _place),) = targets(conn, outcome)
    assert cells == 2
    assert [item["name"] for item in evidence] == ["Cs", "lithium", "Ba"]
    assert evidence[0]["unit"] == "ppm"
    assert evidence[0]["deviations"] > 5
    assert evidence[1]["deviations"] < -2
    last = conn.execute("select max(col_px) from lode.prospect").fetchone()
    assert last == (8,)
    # the same layer brought in anew is other ground
    renumber = "update lode.evidence_layer set evidence_layer_id = 1000 + evidence_layer_id where name = %s"
    conn.execute(renumber, ("Ba",))
    conn.commit()
    assert not search_ground(searched_copy, request).was_there
    assert search_ground(searched_copy, request).was_there
    conn.execute("delete from lode.fault")  # of which this network knows nothing, but its targets tell of it
    conn.commit()
    said: list[str] = []
    without = search_ground(searched_copy, request, said.append)
    assert not without.was_there
    assert any(line.startswith("distances of targets to faults are not told: the data") for line in said)
    found = conn.execute(
        "select fault_distance_m, pluton_distance_m > 0 from lode.prospect_target where prospect_run_id = %s",
        (without.run_id,),
    ).fetchall()
    assert found == [(None, True)]


def test_what_was_learned_from_logarithms_is_searched_by_them(
    searched_copy: str, conn: Connection[Any]
) -> None:
    layers = area_layers(1)
    values = np.stack(list(layers.values()))
    probabilities = {}
    for name, is_log in (("raw", False), ("logs", True)):
        channels = [Channel(layer, "evidence", is_log=is_log) for layer in layers]
        made.add_model(conn, name, channels, np.log10(values) if is_log else values, level=None)
        model = load_prospect_model(conn, name, torch.device("cpu"))
        taken = model.standardise(np.log10(values) if is_log else values)
        probabilities[name] = model.score(taken, np.ones(taken.shape[1:], bool), 5)
    made.add_area(conn, "district", layers)
    poor = {**layers, "Ba": np.where(layers["Ba"] < np.median(layers["Ba"]), 0, layers["Ba"])}
    made.add_area(conn, "poor", poor)
    made.add_area(conn, "none", {**layers, "Ba": 0 * layers["Ba"]})
    conn.commit()
    request = SearchRequest("logs", area="district", threshold=0.001, device_name="cpu")
    outcome = search_ground(searched_copy, request)
    raw = search_ground(searched_copy, replace(request, model_name="raw"))
    for name, found in (("logs", outcome), ("raw", raw)):
        # a cell that one patch alone holds has its probability
        row = conn.execute(
            "select probability from lode.prospect where prospect_run_id = %s and row_px = 0 and col_px = 0",
            (found.run_id,),
        ).fetchone()
        assert row is not None
        assert row[0] == pytest.approx(float(probabilities[name][0, 0]), abs=1e-5)
    assert abs(probabilities["logs"][0, 0] - probabilities["raw"][0, 0]) > 1e-3
    stored = conn.execute(
        "select parameters -> 'channels' -> 0 from lode.prospect_run where prospect_run_id = %s",
        (outcome.run_id,),
    ).fetchone()
    assert stored == ({"name": "Li", "kind": "evidence", "is_log": True, "sources": ["Li"]},)
    # one target, of all the ground: what is told of it are contents
    ((_cells, _mean, evidence, _place),) = targets(conn, outcome)
    told = {item["name"]: item["value"] for item in evidence}
    assert told == {name: pytest.approx(float(each.mean()), rel=1e-3) for name, each in layers.items()}
    said: list[str] = []
    search_ground(searched_copy, replace(request, area="poor"), said.append)
    assert any(line.startswith("layer Ba: 1200 of 2400 contents are 0 or less") for line in said)
    with pytest.raises(UsageError, match="no cell of none has all 3 channels of model logs: Ba has a value"):
        search_ground(searched_copy, replace(request, area="none"))


def test_contents_below_the_least_of_training_count_as_it_and_units_are_kept_to(
    conn: Connection[Any],
) -> None:
    layers = area_layers(1)
    channels = [Channel(layer, "evidence", is_log=True, least=1.0) for layer in layers]
    facts = {layer: {"kind": "geochemistry", "element": layer, "unit": "ppm"} for layer in layers}
    values = np.log10(np.stack(list(layers.values())))
    made.add_model(conn, "logs", channels, values, level=None, evidence=facts)
    layers["Ba"][0, :3] = 0, 1e-7, 6
    made.add_area(conn, "poor", layers)
    model = load_prospect_model(conn, "logs", torch.device("cpu"))
    origin = Origin.of(model_by_name(conn, "logs").training)
    said: list[str] = []
    found = matched_area(conn, "poor", model, origin, said.append)
    np.testing.assert_allclose(found.values[2, 0, :3], np.log10([1, 1, 6]), rtol=1e-6, atol=1e-7)
    assert said == [
        "layer Ba: 2 of 2400 contents are below 1 ppm, the least of training; for their logarithm that is "
        "taken"
    ]
    conn.execute("update lode.evidence_layer set unit = null where name = 'Cs'")
    matched_area(conn, "poor", model, origin, said.append)
    assert any(line.endswith("is not known: Cs (unknown here, ppm in training)") for line in said)
    conn.execute("update lode.evidence_layer set unit = 'ppb' where name = 'Ba'")
    with pytest.raises(UsageError, match=r"layer Ba .* is in ppb, that of model logs was in ppm"):
        matched_area(conn, "poor", model, origin, said.append)


def test_long_lists_of_targets_are_cut_and_said_to_be(
    searched_copy: str, conn: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made.answer_by_rule(monkeypatch, 1)
    values = made.spectra()
    for row in range(0, made.HEIGHT, 20):
        values[1, row : row + 10, 40:50] *= 0.7
    made.add_scene(conn, "other", values)
    conn.commit()
    said: list[str] = []
    outcome = search_ground(searched_copy, replace(OTHER, threshold=0.4, most_targets=2), said.append)
    assert (outcome.figures["targets"], outcome.figures["targets_found"]) == (2, 3)
    assert len(targets(conn, outcome)) == 2
    assert any("3 targets were found, the first 2 are kept" in line for line in said)
    outcome = search_ground(searched_copy, replace(OTHER, threshold=0.4, least_cells=1000))
    assert outcome.figures["targets"] == outcome.figures["target_area_m2"] == 0


Prepare = Callable[[Connection[Any]], object]


def scene(**changes: Any) -> Prepare:
    return lambda conn: made.add_scene(conn, "other", **changes)


def sparse(conn: Connection[Any]) -> None:
    values = made.spectra()
    values[:, ::3] = np.nan
    made.add_scene(conn, "other", values)


def small(conn: Connection[Any]) -> None:
    made.add_scene(conn, "other", made.spectra()[:, :9], grid=replace(made.GRID, height_px=9))


def in_degrees(conn: Connection[Any]) -> None:
    grid = Grid(4326, 81.0, 36.0, 0.0003, 0.0003, made.WIDTH, made.HEIGHT)
    made.add_scene(conn, "other", grid=grid)


def other_task(conn: Connection[Any]) -> None:
    made.add_scene(conn, "other")
    made.add_model(conn, "pits", made.channels_of(), made.training_values(), task="segmentation")


def retired(conn: Connection[Any]) -> None:
    made.add_scene(conn, "other")
    retire_model(conn, "net", "a better one is there")


def without_geology(conn: Connection[Any]) -> None:
    made.add_scene(conn, "other")
    conn.execute("delete from lode.pluton")


def of_layers(conn: Connection[Any]) -> None:
    made.add_scene(conn, "other")
    layers = area_layers(1)
    made.add_area(conn, "district", {"Li": layers["Li"], "Cs": layers["Cs"]})
    channels = [Channel(name, "evidence") for name in layers]
    made.add_model(conn, "layers", channels, np.stack(list(layers.values())), level=None)


WHOLE = made.square(-1, -1, made.WIDTH + 2, made.HEIGHT + 2)
REFUSED: list[tuple[Prepare, dict[str, Any], str]] = [
    (other_task, {"model_name": "pits"}, "model pits is for segmentation, not for prospect"),
    (retired, {}, r"model net was retired .* \(a better one is there .*\): choose another"),
    (scene(), {"model_name": "no"}, "no model is called 'no': there are net"),
    (scene(), {"product": "no"}, "there is no scene 'no'; there are: home, other"),
    (
        scene(values=made.spectra()[[0, 3, 4, 5]], bands=[made.BANDS[place] for place in (0, 3, 4, 5)]),
        {},
        "scene other has no usable band for 830 nm, 900 nm, which model net was trained on",
    ),
    (scene(level="toa_reflectance"), {}, "holds toa_reflectance, model net was trained on surface_refl"),
    (
        scene(grid=made.finer(made.GRID, 0.5)),
        {},
        r"scene other has cells of 15 x 15 m, model net was trained on 30 m.*--resolution 30",
    ),
    (in_degrees, {}, "scene other lies in EPSG:4326 .*: distances need metres, warp it to UTM"),
    (without_geology, {}, "the database has no plutons: bring them in with `lode ingest plutons"),
    (small, {}, r"scene other is 60 x 9 px, smaller than one patch of model net \(10 x 10 px\)"),
    (scene(clouded=WHOLE), {}, "no cell of other is judged: it holds no data there, or cloud hides all"),
    (sparse, {}, "no patch of 10 x 10 px on other is judged: 1560 px have all values"),
    (
        of_layers,
        {"model_name": "layers"},
        "on layers of evidence, and scene other has none: .*--area",
    ),
    (
        of_layers,
        {"product": None, "area": "district"},
        "trained on bands of a scene, and study area district has none: name a scene with --scene",
    ),
    (
        of_layers,
        {"model_name": "layers", "product": None, "area": "district"},
        "study area district has no layer Ba, which model layers was trained on; it has Li, Cs",
    ),
    (scene(), {"stride_px": 11}, "a stride of 11 px does not go with patches of 10 px"),
    (scene(), {"threshold": 0.0}, "a threshold of 0 makes no targets"),
    (scene(), {"device_name": "tpu"}, "'tpu'"),
]


@pytest.mark.parametrize(
    ("prepare", "changes", "message"), REFUSED, ids=[message[:40] for *_, message in REFUSED]
)
def test_what_cannot_be_searched_is_refused_and_leaves_nothing(
    searched_copy: str, conn: Connection[Any], prepare: Prepare, changes: dict[str, Any], message: str
) -> None:
    prepare(conn)
    conn.commit()
    with pytest.raises(UsageError, match=message):
        search_ground(searched_copy, replace(OTHER, **changes))
    left = conn.execute(
        "select (select count(*) from lode.prospect_run), (select count(*) from pg_class"
        " where relname ~ 'prospect_score_[0-9]' and relkind = 'r')"
    ).fetchone()
    assert left == (0, 0)


def test_nothing_to_search_and_two_grounds_are_refused() -> None:
    for names in ({}, {"product": "a", "area": "b"}):
        with pytest.raises(UsageError, match="either a scene"):
            SearchRequest("net", **names)  # type: ignore[arg-type]


def test_a_network_that_does_not_say_its_level_is_refused(searched_copy: str, conn: Connection[Any]) -> None:
    made.add_model(conn, "mute", made.channels_of(), made.training_values(), level=None)
    conn.commit()
    with pytest.raises(UsageError, match="model mute does not say at which level its scene was"):
        search_ground(searched_copy, SearchRequest("mute", product="home", device_name="cpu"))


def test_radiance_has_no_absorptions_to_tell_of(
    searched_copy: str, conn: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made.answer_by_rule(monkeypatch, 1)
    made.add_scene(conn, "other", level="radiance")
    made.add_model(conn, "light", made.channels_of(), made.training_values(), level="radiance")
    conn.commit()
    outcome = search_ground(searched_copy, replace(OTHER, model_name="light", threshold=0.7))
    assert [row[2] for row in targets(conn, outcome)] == [[]]


def test_geology_beyond_the_edge_counts(
    searched_copy: str, conn: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made.answer_by_rule(monkeypatch, 1)
    conn.execute("delete from lode.fault")
    west, north = made.WEST + 20 * made.PIXEL_M, made.NORTH - 10 * made.PIXEL_M
    # north of the upper left corner of the hot cells, 20 km off the scene
    far = shapely.MultiLineString([[(west - 9000, north + 20_000), (west - 3000, north + 20_000)]])
    made.add_feature(conn, "fault", far)
    conn.commit()
    outcome = search_ground(searched_copy, replace(OTHER, product="home", threshold=0.7))
    row = conn.execute(
        "select t.fault_distance_m, st_xmin(st_transform(t.geom, 32644)),"
        " st_ymax(st_transform(t.geom, 32644)) from lode.prospect_target t where prospect_run_id = %s",
        (outcome.run_id,),
    ).fetchone()
    assert row is not None
    distance, x, y = row
    assert distance == pytest.approx(np.hypot(x - (west - 3000), y - (north + 20_000)), abs=0.05)
