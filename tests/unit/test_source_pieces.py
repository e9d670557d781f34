"""Pieces of sources that need no server: JSON, checksums, days in names, options, the cache."""

from __future__ import annotations

import os
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from db.errors import UsageError
from ingest.sources.cache import KEPT_S, cache_folder
from ingest.sources.checksum import matches, parse_checksum
from ingest.sources.folder import day_in
from ingest.sources.options import scene_options
from ingest.sources.stac_items import found_item
from ingest.sources.web import parse_json, shown

ITEM: dict[str, Any] = {"id": "a", "properties": {"datetime": "2023-05-16T00:00:00Z"}, "assets": {}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested too deeply"),
        ("<html>", "is no JSON"),
        ("[1, 2]", "is list, not a JSON object"),
        ('{"a": ' + "9" * 10_000 + "}", "is no JSON"),
    ],
)
def test_json_made_to_do_harm_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_json(text, "here")


def test_multihashes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    known = {
        "1220ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad": True,
        "1114a9993e364706816aba3e25717850c26c9cd0d89d": True,
        "d50110900150983cd24fb0d6963f7d28e17f72": True,
        "1220" + "0" * 64: False,
    }
    for text, is_right in known.items():
        parsed = parse_checksum(text, "x")
        assert parsed is not None
        assert matches(path, parsed) is is_right
    assert parse_checksum(None, "x") is None
    assert parse_checksum("b220" + "0" * 64, "x") is None
    for wrong in ("1220ab", "zz", 7, ""):
        with pytest.raises(UsageError, match=r"multihash|cut off"):
            parse_checksum(wrong, "x")


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("GF2_PMS1_E81.9_N45.6_20210619_L1A0001.tif", date(2021, 6, 19)),
        ("x-2021-06-19.tif", date(2021, 6, 19)),
        ("LC08_143029_20230516_20230601_02.tif", date(2023, 5, 16)),
        ("x_20211319.tif", None),
        ("120210619.tif", None),
        ("mine.tif", None),
    ],
)
def test_the_day_in_a_name(name: str, day: date | None) -> None:
    assert day_in(name) == day


def test_messages_show_no_query_and_no_password() -> None:
    assert shown("https://me:pw@a.example/x/y.tif?sig=abc#z") == "https://a.example/x/y.tif"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": None}, "without an id"),
        ({"id": "a\nb"}, "control characters"),
        ({"id": "a" * 2000}, "too long"),
        ({"assets": None}, "no properties or no assets"),
        ({"properties": {}}, "datetime"),
        ({"geometry": {"type": "Polygon", "coordinates": "x"}}, "geometry cannot be understood"),
        ({"bbox": [0, 0, 900, 1]}, "outside of longitude and latitude"),
    ],
)
def test_items_that_cannot_be_right_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        found_item({**ITEM, **changes}, "http://x/item.json")


def test_the_mark_follows_content_and_not_signatures() -> None:
    def mark(**changes: Any) -> str:
        return found_item({**ITEM, **changes}, "x").mark

    def asset(href: str, **more: Any) -> dict[str, Any]:
        return {"assets": {"red": {"href": href, **more}}}

    plain = mark(**asset("http://x/a.tif?sig=1"))
    assert plain == mark(**asset("http://x/a.tif?sig=2"))
    assert plain != mark(**asset("http://x/b.tif"))
    assert plain != mark(**asset("http://x/a.tif", **{"file:checksum": "1220aa"}))
    updated = {"datetime": "2023-05-16T00:00:00Z", "updated": "2023-06-01T00:00:00Z"}
    assert plain != mark(**asset("http://x/a.tif"), properties=updated)


def test_options_are_those_of_the_command() -> None:
    options = scene_options({"sensor": "gf2_pms", "offset": -10, "bands": ["a", "b"], "register": False}, ())
    statement = options.statement("p", date(2021, 6, 19))
    assert (statement.sensor, statement.bands, statement.value_offset) == ("gf2_pms", ("a", "b"), -10.0)
    assert options.treatment.clouds == "none"
    assert not options.treatment.register
    assert scene_options({"destripe": True, "fill_clouds": False}, ()).stated is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"bogus": 1}, "No such option '--bogus'"),
        ({"atmosphere": "magic"}, "'magic' is not one of"),
        ({"product": "x"}, "of one scene, not of all"),
        ({"offset": 1}, "together with sensor"),
        ({"fill-clouds": True}, "takes pixels from a clear scene"),
        ({"sensor": {"a": 1}}, "neither text, number"),
        ({"dem": "/vsicurl/http://x/y.tif"}, "no URLs and no /vsi paths"),
        ({"destripe": "yes"}, "does not take a value"),
        ({"help": []}, "option help: is of the command line"),
        ({"help": True}, "option help: is of the command line"),
        ({"help": None, "": []}, "option help: is of the command line"),
    ],
)
def test_options_that_the_command_refuses(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        scene_options(options, ())


def test_the_cache_keeps_what_a_failed_attempt_fetched_and_drops_what_is_done(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), cache_folder(tmp_path / "c", "one") as folder:
        (folder.path / "part").write_text("x")
        raise ValueError("stop")
    with cache_folder(tmp_path / "c", "one") as again:
        assert (again.path / "part").read_text() == "x"
        with cache_folder(tmp_path / "c", "one") as beside:
            assert beside.path != again.path
        again.finish()
    assert not again.path.exists()


def test_what_nobody_came_back_for_is_swept(tmp_path: Path) -> None:
    cache = tmp_path / "c"
    made = {}
    for name in ("old", "used", "new"):
        with cache_folder(cache, name) as folder:
            (folder.path / "part").write_text("x")
            made[name] = folder.path
    for name in ("old", "used"):
        os.utime(made[name], (time.time() - KEPT_S - 60,) * 2)
    stranger = cache / "item-of-somebody"
    stranger.symlink_to(tmp_path)
    assert len(list(cache.iterdir())) == 4
    with cache_folder(cache, "used") as folder:
        assert (folder.path / "part").exists()
    assert len(list(cache.glob("*/part"))) == 2
    assert stranger.is_symlink()
