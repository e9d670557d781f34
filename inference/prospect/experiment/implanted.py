"""The implanted part: real pixels with ore mixed in at known places, beside implanted geology and decoys.

Figures from here say how the networks deal with real light, air and ground; they say nothing of real ore.
"""

from __future__ import annotations

from typing import Any

from inference.prospect.dataset import SetRequest
from inference.prospect.experiment.planted import Planted
from inference.prospect.experiment.simulated import GEOLOGY, judge_planted
from inference.prospect.experiment.training import Bench

BLOCK_M = 660.0
"""The smallest that patches of 10 x 10 cells of 30 m allow: the real scene is 5 km wide and has gaps."""
STRIDE_PX = 3
"""Half a patch, the default, leaves few patches on so little ground."""


def implanted_request(product: str, deposit_type: str) -> SetRequest:
    """How the implanted scene is cut into patches.

    Args:
        product: the scene.
        deposit_type: of the implanted ore in the database.

    """
    return SetRequest(
        f"geology {product}",
        product=product,
        geology=GEOLOGY,
        deposits=(("deposit_type", deposit_type),),
        stride_px=STRIDE_PX,
        block_m=BLOCK_M,
        seed=1,
        is_relative=True,
        data="implanted",
    )


def compare_implanted(bench: Bench, home: Planted, deposit_type: str, seeds: int) -> dict[str, Any]:
    """Train every row on the implanted scene, and judge it on test ground and decoys.

    There is no second scene with the same minerals to search.

    Args:
        bench: where and how.
        home: what was implanted; its geology and deposits are in the database.
        deposit_type: of the implanted ore in the database.
        seeds: trainings of each network.

    Returns:
        What `judge_planted` gives; each line says that its data are implanted.

    """
    _models, found = judge_planted(bench, implanted_request(home.product, deposit_type), home, seeds)
    return found
