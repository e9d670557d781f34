"""A network that learned from relative reflectance searches a scene of other light and other gains."""

from __future__ import annotations

from typing import Any

import numpy as np
from psycopg import Connection

from db.scenes import scene_by_product
from inference.prospect.channels import Channel, GeologyChoice
from inference.prospect.ground import ground_of_channels
from inference.prospect.matched_ground import Origin, matched_scene
from inference.prospect.relative import relative_channels
from inference.prospect.trained import load_prospect_model
from tests.db import searched_ground as made

WINDOWS = ((782.0, 902.0), (2014.0, 2400.0))
SPECTRAL = len(made.BANDS)


def matched(conn: Connection[Any], model: str, product: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    network = load_prospect_model(conn, model, "cpu")
    training = {"processing_level": "surface_reflectance"}
    return matched_scene(conn, product, network, Origin.of(training), lambda _line: None).values


def test_light_and_gains_of_another_day_are_left_out(conn: Connection[Any]) -> None:
    made.fill(conn)
    plain = made.channels_of()
    relative = relative_channels(plain, WINDOWS, "home")
    learned = ground_of_channels(
        conn, scene_by_product(conn, "home"), relative, geology=GeologyChoice(made.DISTANCES)
    )
    for name, channels in (("plain", plain), ("relative", relative)):
        made.add_model(conn, name, channels, learned.values)
    gains = np.array([0.9, 1.1, 1.05, 0.85, 1.1, 1.2], np.float32)[:, np.newaxis, np.newaxis]
    light = np.linspace(0.6, 1.4, made.WIDTH, dtype=np.float32)
    made.add_scene(conn, "other", made.spectra() * gains * light)

    home, other = matched(conn, "relative", "home"), matched(conn, "relative", "other")
    # as it was learned, so it is searched
    np.testing.assert_array_equal(home, learned.values)
    apart = {
        name: np.abs(
            matched(conn, name, "other")[:SPECTRAL] / matched(conn, name, "home")[:SPECTRAL] - 1
        ).mean()
        for name in ("plain", "relative")
    }
    assert apart["relative"] < 0.003 < 0.15 < apart["plain"]
    # and the absorption at 830 nm stays what it was
    dark = np.zeros(home.shape[1:], bool)
    dark[made.ORE] = True
    for values in (home, other):
        assert values[1, ~dark].mean() - values[1, dark].mean() > 0.12


def test_what_is_stored_of_a_relative_channel_is_read_again() -> None:
    [channel] = relative_channels([Channel("B1", "spectral", 830.0, 12.0)] * 2, WINDOWS, "scene")[:1]
    assert Channel.from_json({**channel.as_json(), "relative_to_nm": [782, 902]}) == channel
