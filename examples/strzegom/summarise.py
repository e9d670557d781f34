"""Join the report and the network's figures into one JSON: summarise.py DAMAGE.json MODEL.json SECONDS."""

import json
import sys
from collections import defaultdict
from pathlib import Path

damage = json.loads(Path(sys.argv[1]).read_text("utf-8"))
model = json.loads(Path(sys.argv[2]).read_text("utf-8"))
metrics = model["metrics"]

areas: dict[str, dict[str, dict[str, float | None]]] = defaultdict(lambda: defaultdict(dict))
for row in damage:
    if row["reason"] is None:
        areas[row["mine_code"]][str(row["year"])][f"{row['land_class']}_m2"] = round(row["area_m2"], 1)
        areas[row["mine_code"]][str(row["year"])]["observed_fraction"] = round(row["observed_fraction"], 4)

json.dump(
    {
        "open_pit_f1": metrics["by_class"]["open_pit"]["dice"],
        "mean_iou": metrics["mean_iou"],
        "by_class": metrics["by_class"],
        "confusion_matrix": {"class_codes": metrics["class_codes"], "counts": metrics["confusion"]},
        "metrics": metrics,
        "area_by_mine_and_year": areas,
        "seconds": int(sys.argv[3]),
    },
    sys.stdout,
    ensure_ascii=False,
    indent=1,
)
