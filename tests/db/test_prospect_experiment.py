"""Trainings of `lode experiment geology`: each is done once, and says on what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from db.connection import connect
from db.errors import UsageError
from db.registry import list_models
from inference.experiments.time_left import TimeLeft
from inference.prospect.dataset import SetRequest, make_set
from inference.prospect.experiment.plan import BARE, MAIN, Preset, Row
from inference.prospect.experiment.planted import Planted
from inference.prospect.experiment.rows import differences_to, patch_row
from inference.prospect.experiment.training import (
    Bench,
    chosen_seed,
    importance_of,
    train_rows,
    validation_loss,
)
from inference.prospect.experiment.transfer import search_other
from inference.prospect.settings import GridSettings
from tests.prospect_ground import BANDS, PLACES, add_deposits, add_geology, add_scene, at, stored_pixels

PRESET = Preset(
    size_px=200,
    seeds=2,
    real_seeds=1,
    epochs=2,
    patience=2,
    grid=GridSettings((8,), (1e-3, 1e-2), epochs=1),
    importance_repeats=1,
)
ROWS = (Row(MAIN, "gcn_residual"), Row(BARE, "gcn_residual", leave_out_geology=True), Row("svm", "svm"))


@pytest.mark.timeout(120)
def test_what_was_trained_is_not_trained_again(database_url: str, tmp_path: Path) -> None:
    pixels = stored_pixels()
    for row, col in PLACES:
        around = pixels[BANDS.index("B066"), row - 4 : row + 5, col - 4 : col + 5]
        around[around > 0] += 3000
    with connect(database_url) as conn:
        add_scene(conn, tmp_path, pixels=pixels)
        add_geology(conn)
        add_deposits(conn)
        patches = make_set(
            conn, SetRequest("drawn", product="scene", patch_px=6, buffer_m=120.0, data="simulated")
        )
        conn.commit()
    said: list[str] = []
    bench = Bench(database_url, PRESET, "cpu", said.append, TimeLeft())
    models = train_rows(bench, "simulated", patches, ROWS, 2)
    assert {name: len(records) for name, records in models.items()} == {MAIN: 2, BARE: 2, "svm": 1}
    assert said[-1] == "simulated 5/5 svm seed 1 done, this set: about 0 s left"
    first, second = models[MAIN]
    assert len(first.training["trials"]) == 2
    assert second.training["trials"] == []
    for key in ("width", "learning_rate"):
        assert first.training["settings"][key] == second.training["settings"][key]
    assert {record.training["data"] for every in models.values() for record in every} == {"simulated"}
    # of the one that is told of, and only there
    assert not any("importance" in record.metrics for every in models.values() for record in every)
    importance = importance_of(bench, chosen_seed(models[MAIN]), patches)
    assert "all geology" in [each["name"] for each in importance]
    assert {each["repeats"] for each in importance} == {PRESET.importance_repeats}
    assert not any(name.endswith("_distance_m") for name in models[BARE][0].band_names)

    row = patch_row("simulated", MAIN, models[MAIN])
    assert row["roc_auc"]["values"] == [record.metrics["roc_auc"] for record in models[MAIN]]
    assert row["roc_auc"]["low"] <= row["roc_auc"]["high"]
    [apart] = differences_to(models[MAIN], {MAIN: models[MAIN]})
    assert apart["roc_auc"] == {"value": 0.0, "low": 0.0, "high": 0.0, "known": 2}
    assert validation_loss(chosen_seed(models[MAIN])) == min(map(validation_loss, models[MAIN]))

    places = np.array([shapely.Point(at(row + 0.5, col + 0.5)) for row, col in PLACES], object)
    home = Planted("scene", 4326, places, np.arange(len(PLACES)), {})
    with connect(database_url) as conn:
        add_scene(conn, tmp_path, "bright", pixels=np.where(pixels > 0, pixels * 1.5, 0).astype(np.uint16))
        conn.commit()
    shifts = {}
    for product in ("scene", "bright"):
        found = search_other(bench, chosen_seed(models[MAIN]), replace(home, product=product))
        assert (found["deposits"], found["unscored"]) == (len(PLACES), 0)
        shares = [found["top"][share]["value"] for share in ("0.01", "0.05", "0.1", "0.2")]
        assert shares == sorted(shares)
        shifts[product] = found["shift"]["distance"]
    assert shifts["bright"] > 1.3 * shifts["scene"]
    refused = search_other(bench, models[BARE][0], replace(home, product="nowhere"))
    assert "nowhere" in refused["refused"]

    # two at a time, in processes of their own
    beside: list[str] = []
    others = (Row("gcn", "gcn"), Row("majority", "majority"))
    found = train_rows(replace(bench, jobs=2, report=beside.append), "beside", patches, others, 2)
    seeds = {name: [each.training["settings"]["seed"] for each in every] for name, every in found.items()}
    assert seeds == {"gcn": [1, 2], "majority": [1]}
    assert beside[-1].endswith("about 0 s left")
    assert sum("done, this set" in line for line in beside) == 3
    assert any("gcn seed 1: chosen: width 8" in line for line in beside)
    alone = train_rows(replace(bench, jobs=1), "alone", patches, others[:1], 1)
    assert alone["gcn"][0].metrics["roc_auc"] == pytest.approx(found["gcn"][0].metrics["roc_auc"], abs=1e-6)
    with pytest.raises(UsageError, match="no set of patches is called 'gone'"):
        train_rows(replace(bench, jobs=2), "lost", replace(patches, name="gone"), others[:1], 1)

    # killed after the third: the same call does the rest only
    with connect(database_url) as conn:
        before = {record.name: record.trained_at for record in list_models(conn)}
        conn.execute("delete from lode.model where name = any(%s)", ([models["svm"][0].name],))
        conn.commit()
    said.clear()
    again = train_rows(bench, "simulated", patches, ROWS, 2)
    assert sum("was done before" in line for line in said) == 4
    assert [record.trained_at for record in again[MAIN]] == [before[record.name] for record in models[MAIN]]
    assert again["svm"][0].trained_at > before[models["svm"][0].name]
