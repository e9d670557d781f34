"""`lode prospect evaluate`: how known deposits rank in a search that was made without them."""

from __future__ import annotations

from pathlib import Path

import click

from db.connection import connect
from db.errors import UsageError
from db.settings import Settings


@click.command()
@click.option(
    "--run",
    "run_id",
    type=int,
    metavar="N",
    help="The search. [default: the last that learned from no deposit]",
)
@click.option(
    *("--deposits", "chosen"),
    multiple=True,
    default=("all",),
    show_default=True,
    metavar="all|COLUMN=VALUE",
    help="Which deposits, by commodity, deposit_type or name; may be repeated.",
)
@click.option(
    "--compare", type=int, multiple=True, metavar="RUN", help="Another search of the same ground; repeatable."
)
@click.option(
    "--group-distance-m",
    type=click.FloatRange(min=0, max=1e8),
    help="Deposits nearer to each other are drawn together for intervals. [default: five cells]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all draws.")
@click.option(
    *("--draw", "picture"),
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.png",
    help="Draw curves and maps.",
)
def evaluate(
    run_id: int | None,
    chosen: tuple[str, ...],
    compare: tuple[int, ...],
    group_distance_m: float | None,
    seed: int,
    picture: Path | None,
) -> None:
    """Hold a search that was made without deposits against known deposits, and store what comes out.

    Told are the area under the ROC curve, the shares of the deposits in the best 1, 5, 10 and 20 % of the
    area, and the intersection of the prediction-area plot; with intervals over deposits, and how often the
    deposits do as well when they are shifted over the ground. Two plain answers are ranked on the same
    cells: Mahalanobis distance on log geochemistry, and the layer that the system weighs most; and, in
    hindsight, the best of all layers.

    Results are kept (lode_api.prospect_evaluation); `lode report prospect` shows the last one.
    """
    from inference.evidence.evaluation.searches import EvaluationRequest, evaluate_search, evaluation_lines
    from inference.prospect.deposits import parse_choice

    if picture is not None and not picture.absolute().parent.is_dir():
        raise UsageError(f"--draw {picture}: there is no folder {picture.parent}; make it, or name another")
    request = EvaluationRequest(run_id, parse_choice(chosen), compare, group_distance_m, seed)
    with connect(Settings()) as conn:
        found = evaluate_search(conn, request, report=lambda line: click.echo(line, err=True))
        if picture is not None:
            from inference.evidence.evaluation.drawing import draw_evaluation

            draw_evaluation(picture, found)
        conn.commit()
    for line in evaluation_lines(found):
        click.echo(line)
    if picture is not None:
        click.echo(f"drawn: {picture}")
