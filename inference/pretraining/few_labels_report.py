"""What the few-labels comparison says: in sentences, in a table, in a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from inference.experiments.table import with_spread

ROWS = {
    "random": ("from nothing", "#8f8f8f", "o"),
    "pretrained": ("from the pretrained backbone", "#1f4e79", "o"),
    "pixel_regression": ("per-pixel regression", "#b5651d", "s"),
}
NOTE = (
    "Both starts have the same labels, windows, steps, validation and test ground in each seed; the "
    "pretrained one has seen the windows of its pretraining besides. The pretraining read no label and no "
    "pixel of the test ground. The validation labels, which choose the epoch, are all there at every share, "
    "for both starts alike: with so few training labels there would be fewer of them too."
)


def findings(result: Mapping[str, Any]) -> list[str]:
    """For each share: which start is better, whether chance explains it, where a plain answer is no worse."""
    told = []
    for row in result["rows"]:
        gain = row["difference"]
        ends = gain["interval"]
        better = sum(value > 0 for value in gain["values"])
        told.append(
            f"With {row['share']:.0%} of the labels: mean IoU {with_spread(row['pretrained'])} pretrained, "
            f"{with_spread(row['random'])} from nothing; difference {gain['mean']:+.3f}, "
            f"better in {better} of {len(gain['values'])} seeds{_chance(ends)}."
        )
        plain = row["pixel_regression"]["mean"]
        beaten = [ROWS[start][0] for start in ("pretrained", "random") if row[start]["mean"] <= plain]
        if beaten:
            told.append(
                f"The per-pixel regression ({plain:.3f}) is no worse than the network {' and '.join(beaten)} "
                "there."
            )
    return told


def _chance(ends: Mapping[str, Any]) -> str:
    if ends["low"] is None or ends["high"] is None:
        return ""
    said = f"; {ends['low']:+.3f} to {ends['high']:+.3f} when the {ends['blocks']} test blocks are drawn anew"
    if ends["low"] <= 0 <= ends["high"]:
        said += ", so that chance in the ground explains it"
    return said


def markdown(result: Mapping[str, Any]) -> str:
    """The whole report."""
    what = "a simulated district" if result["simulated"] else "scenes of the database"
    settings, before = result["settings"], result["pretraining"]
    pixels = {part: sum(counts.values()) for part, counts in result["data"]["pixels"].items()}
    shown = settings["epochs"] * settings["windows_per_epoch"]
    before_shown = before["settings"]["windows"]
    head = [
        "share of the labels", "pixels", "pieces", "from nothing", "pretrained", "difference",
        "95 % over blocks", "per-pixel regression", "commonest class",
    ]  # fmt: skip
    body = [
        [
            f"{row['share']:.0%}",
            f"{row['pixels']['mean']:,.0f}",
            f"{row['pieces']['mean']:,.0f}",
            with_spread(row["random"]),
            with_spread(row["pretrained"]),
            _signed(row["difference"]),
            _ends(row["difference"]["interval"]),
            with_spread(row["pixel_regression"]),
            with_spread(row["majority_class"]),
        ]
        for row in result["rows"]
    ]
    parts = [
        f"# Few labels, preset {result['preset']}" + (" (simulated)" if result["simulated"] else ""),
        " ".join(result["findings"]),
        f"Data: {what}, {len(result['data']['scenes'])} scenes, bands {', '.join(result['data']['bands'])}; "
        + ", ".join(f"{count:,} labelled pixels for {part}" for part, count in pixels.items())
        + f". {settings['architecture']} on the backbone {settings['backbone']}; {shown:,} windows of "
        f"{settings['tile_px']} px in batches of {settings['batch_size']}. Pretraining: {before_shown:,} "
        f"windows of {before['settings']['tile_px']} px, patches of {before['settings']['patch_px']} px; "
        f"validation loss {before['validation_loss']:.3f}, that of the mean of the visible pixels "
        f"{before['plain_loss']:.3f}. Device: {result['device']}.",
        f"Mean IoU on the test ground, mean ± standard deviation over {len(result['seeds'])} seeds:",
        _grid(head, body),
        "IoU by class, from nothing / pretrained:",
        _classes(result),
        NOTE,
    ]
    if result["simulated"]:
        parts.append(
            "A made-up district says how the two starts compare on it, not how good either is on real ground."
        )
    return "\n\n".join(parts) + "\n"


def csv_text(result: Mapping[str, Any]) -> str:
    """A line for each share, start or plain answer, and seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["data", "share", "answer", "seed", "labelled_pixels", "mean_iou"])
    data = "simulated" if result["simulated"] else "database"
    for row in result["rows"]:
        for answer in (*ROWS, "majority_class"):
            for seed, pixels, value in zip(
                result["seeds"], row["pixels"]["values"], row[answer]["values"], strict=True
            ):
                writer.writerow([data, row["share"], answer, seed, pixels, f"{value:.6f}"])
    return text.getvalue()


def figure(result: Mapping[str, Any]) -> Figure:
    """Mean IoU against the share of the labels; a mark for each seed, a line through the means."""
    drawn = Figure(figsize=(6.4, 4.0), facecolor="white", layout="constrained")
    FigureCanvasAgg(drawn)  # pyplot would choose a backend for the whole process
    axis = drawn.subplots()
    shares = [100 * row["share"] for row in result["rows"]]
    for key, (name, color, marker) in ROWS.items():
        axis.plot(
            shares, [row[key]["mean"] for row in result["rows"]], color=color, marker=marker, label=name,
            markersize=6, linestyle="--" if key == "pixel_regression" else "-",
        )  # fmt: skip
        for share, row in zip(shares, result["rows"], strict=True):
            values = row[key]["values"]
            axis.plot([share] * len(values), values, color=color, marker="_", linestyle="", markersize=9)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(shares))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticks(shares, [f"{share:g} %" for share in shares])
    axis.set_xlabel("share of the training labels")
    axis.set_ylabel("mean IoU on the test ground")
    axis.set_title("simulated district" if result["simulated"] else "scenes of the database", fontsize=10)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=9)
    return drawn


def _classes(result: Mapping[str, Any]) -> str:
    keys = list(result["rows"][0]["by_class"])
    body = [
        [
            f"{row['share']:.0%}",
            *(
                " / ".join(_mean(row["by_class"][key][start]) for start in ("random", "pretrained"))
                for key in keys
            ),
        ]
        for row in result["rows"]
    ]
    return _grid(["share of the labels", *keys], body)


def _mean(figures: Mapping[str, Any]) -> str:
    return "–" if figures["mean"] is None else f"{figures['mean']:.3f}"


def _signed(figures: Mapping[str, Any]) -> str:
    spread = "" if figures["spread"] is None else f" ± {figures['spread']:.3f}"
    return f"{figures['mean']:+.3f}{spread}"


def _ends(ends: Mapping[str, Any]) -> str:
    if ends["low"] is None or ends["high"] is None:
        return "–"
    return f"{ends['low']:+.3f} to {ends['high']:+.3f}"


def _grid(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
