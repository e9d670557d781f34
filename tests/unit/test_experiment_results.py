"""What an experiment says: statistics over seeds, differences, sentences, tables."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.experiments.contrasts import difference
from inference.experiments.findings import is_beyond_spread
from inference.experiments.results import assemble, write_results
from inference.experiments.runner import Failure, Outcome
from inference.experiments.summary import over_seeds
from tests.unit.experiment_models import block, metrics_of, plan_of, record_of

PLAIN = {
    "baselines": {
        "majority_class": metrics_of(block(1.0, 0.0)),
        "pixel_regression": metrics_of(block(0.5, 0.5)),
    },
    "boundary": {"mean_f1": 0.25},
    "calibration": {"before": {"ece": 0.2}, "after": {"ece": 0.1}},
}


def outcome_of(hits: dict[tuple[str, int], float], failures: tuple[Failure, ...] = ()) -> tuple[Any, Outcome]:
    """A plan and models of which each calls a share of the pixels of two classes right, in two blocks."""
    networks = list(dict.fromkeys(network for network, _ in hits))
    plan = plan_of(*networks)
    rows = {row.network: row for row in plan.rows}
    models = {
        (network, seed): record_of(
            plan,
            rows[network],
            seed,
            metrics_of(block(share, share), block(share - 0.2, share - 0.2), **PLAIN),
        )
        for (network, seed), share in hits.items()
    }
    return plan, Outcome(models, failures)


def iou(share: float) -> float:
    """Of each of two classes of as many pixels, when a share of both is right and the rest is swapped."""
    return share / (2 - share)


def test_mean_and_spread_over_seeds():
    assert over_seeds([0.2, 0.4, 0.6]) == {
        "mean": pytest.approx(0.4), "spread": pytest.approx(0.2), "values": [0.2, 0.4, 0.6],
    }  # fmt: skip
    assert over_seeds([0.3]) == {"mean": 0.3, "spread": None, "values": [0.3]}
    assert over_seeds([0.3, None])["mean"] is None


def test_a_row_holds_the_figures_of_its_models():
    plan, outcome = outcome_of({("DL", 1): 0.8, ("DL", 2): 0.9})
    (row,) = assemble(plan, outcome)["rows"]
    # the second block is 0.2 worse, so over both blocks the share is 0.1 lower
    first, second = iou(0.7), iou(0.8)
    assert row["mIoU"]["values"] == pytest.approx([first, second])
    assert row["mIoU"]["spread"] == pytest.approx(abs(first - second) / math.sqrt(2))
    assert row["mRecall"]["mean"] == pytest.approx(0.75)
    assert row["mDice"]["values"] == pytest.approx([2 * each / (1 + each) for each in (first, second)])
    assert row["by_class"]["vegetation"]["iou"]["values"] == pytest.approx([first, second])
    assert row["by_class"]["class_5"]["iou"] == {"mean": None, "spread": None, "values": [None, None]}
    assert (row["boundary_f1"]["mean"], row["ece"]["mean"]) == (0.25, 0.1)
    assert (row["architecture"], row["backbone"], row["seeds"]) == ("deeplabv3plus", "small", [1, 2])
    assert row["windows_shown"] == [600, 600]
    assert row["parameters"] > 1_000_000


def test_differences_are_paired_over_seeds_and_blocks():
    _plan, outcome = outcome_of(
        {("DL", 1): 0.6, ("DL", 2): 0.7, ("SE-DL", 1): 0.7, ("SE-DL", 2): 0.8, ("COT-DL", 2): 0.7}
    )
    found = difference(outcome, "SE-DL", "DL")
    assert found is not None
    assert found["mIoU"]["values"] == pytest.approx([iou(0.6) - iou(0.5), iou(0.7) - iou(0.6)])
    # both blocks are better by the same shares, so however they are drawn the difference is above 0
    ends = found["intervals"]["mIoU"]
    assert found["intervals"]["blocks"] == 2
    assert 0 < ends["low"] <= ends["value"] <= ends["high"]
    assert ends["value"] == pytest.approx(iou(0.65) - iou(0.55))
    one = difference(outcome, "COT-DL", "DL")
    assert one is not None
    assert one["seeds"] == [2]
    assert one["mIoU"]["values"] == pytest.approx([0.0])


def test_models_of_other_blocks_have_no_interval():
    _plan, outcome = outcome_of({("DL", 1): 0.6, ("SE-DL", 1): 0.7})
    outcome.models["SE-DL", 1].metrics["blocks"].pop()
    found = difference(outcome, "SE-DL", "DL")
    assert found is not None
    assert found["intervals"] is None
    assert difference(outcome, "U-Net", "DL") is None


@pytest.mark.parametrize(
    ("values", "is_beyond"),
    [([0.10, 0.11, 0.12], True), ([0.10, -0.10, 0.12], False), ([0.3], None), ([-0.2, -0.21], True)],
)
def test_a_difference_is_held_against_its_standard_error(values: list[float], is_beyond: bool | None):
    assert is_beyond_spread(over_seeds(values)) is is_beyond


def test_the_findings_name_the_best_and_what_beats_it():
    given = outcome_of(
        {("DL", 1): 0.60, ("DL", 2): 0.61, ("SE-DL", 1): 0.70, ("SE-DL", 2): 0.72, ("SE-COT-DL", 1): 0.4}
        | {("SE-COT-DL", 2): 0.45}
    )
    said = " ".join(assemble(*given)["findings"])
    assert said.startswith("SE-DL has the highest mean IoU on the test ground")
    lead = (iou(0.6) - iou(0.5) + iou(0.62) - iou(0.51)) / 2
    assert f"Its lead over DL is {lead:+.3f}, beyond what the spread over seeds explains" in said
    # half of all pixels right gives 1/3; SE-COT-DL has at most a share of 0.35 right
    assert "per-pixel regression has a mean IoU of 0.333, more than SE-COT-DL" in said
    assert said.endswith("at no class is it better than SE-DL.")
    # all called background: IoU 0.5 and 0; the best network has about 0.44 for each
    assert (
        "The majority class has a mean IoU of 0.250, more than SE-COT-DL; it is better than SE-DL at bac"
        in said
    )


def test_the_reference_may_win():
    plan, outcome = outcome_of({("DL", 1): 0.9, ("SE-COT-DL", 1): 0.5})
    said = " ".join(assemble(plan, outcome)["findings"])
    assert said.startswith("DL has the highest mean IoU")
    assert "none of the other networks improves on DL" in said
    assert "with one seed nothing is known of chance" in said


def test_failures_are_told_first_and_the_rest_is_reported(tmp_path: Path):
    failure = Failure("U-Net", 1, "the device's memory does not hold a batch")
    _, outcome = outcome_of({("DL", 1): 0.9}, (failure,))
    result = assemble(plan_of("U-Net", "DL", seeds=1), outcome)
    assert result["failures"] == [vars(failure)]
    assert result["findings"][0] == "Not everything was trained: U-Net seed 1 failed."
    assert [row["network"] for row in result["rows"]] == ["DL"]
    write_results(result, tmp_path)
    assert "- U-Net seed 1 failed: the device's memory" in (tmp_path / "comparison.md").read_text()


def test_nothing_trained_gives_a_report_all_the_same(tmp_path: Path):
    result = assemble(plan_of("DL", seeds=1), Outcome({}, (Failure("DL", 1, "loss became nan"),)))
    write_results(result, tmp_path)
    assert "nothing can be said" in (tmp_path / "comparison.md").read_text()
    assert len((tmp_path / "comparison.csv").read_text().splitlines()) == 1


def test_json_csv_and_markdown_say_the_same(tmp_path: Path):
    result = assemble(*outcome_of({("DL", 1): 0.8, ("DL", 2): 0.9, ("SE-DL", 1): 0.7, ("SE-DL", 2): 0.7}))
    paths = write_results(result, tmp_path)
    assert [path.name for path in paths] == ["comparison.json", "comparison.md", "comparison.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    read = json.loads(paths[0].read_text())
    assert read == json.loads(json.dumps(result))
    lines = list(csv.DictReader(io.StringIO(paths[2].read_text())))
    assert [line["network"] for line in lines] == ["DL", "SE-DL", "majority class", "per-pixel regression"]
    dl = read["rows"][0]
    assert float(lines[0]["mIoU_mean"]) == dl["mIoU"]["mean"]
    assert float(lines[0]["iou_background_spread"]) == dl["by_class"]["background"]["iou"]["spread"]
    assert lines[0]["iou_class_5_mean"] == lines[2]["parameters"] == ""
    text = paths[1].read_text()
    assert f"| DL | {dl['parameters']:,} | {dl['mIoU']['mean']:.3f} ± {dl['mIoU']['spread']:.3f} |" in text
    tables = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert set(tables) == {12, 10, 6}  # figures, classes, differences
    assert np.isfinite(dl["mIoU"]["mean"])
