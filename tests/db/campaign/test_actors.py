"""What a campaign computes, and whom an actor works for."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from db import campaigns
from db.connection import connect
from db.errors import UsageError
from service import protocol
from service.campaign_actor import Hello, Interpreter, Secret, Task
from service.campaign_runs import RunBook
from tests.campaign_scenes import PRODUCTS
from tests.db.campaign.trials import HandCrew, version


def test_targets(url: str) -> None:
    with connect(url) as conn:
        assert [target.product for target in campaigns.targets(conn, 1)] == list(PRODUCTS)
        assert len(campaigns.targets(conn, 1, year=2021)) == 3
        over_mine = campaigns.targets(conn, 1, year=2021, mine_code="M")
        assert [target.product for target in over_mine] == list(PRODUCTS)
        with pytest.raises(UsageError, match="there is no mine 'N'"):
            campaigns.targets(conn, 1, year=2021, mine_code="N")
        with pytest.raises(UsageError, match="there is no scene of 2020"):
            campaigns.targets(conn, 1, year=2020)
        conn.execute("update lode.mine set boundary = st_translate(boundary, 3, 0)")
        with pytest.raises(UsageError, match="there is no scene of 2021 that touches mine M"):
            campaigns.targets(conn, 1, year=2021, mine_code="M")
        conn.execute("update lode.scene set resolution_m = 30, resolution_y_m = 30 where product = 'a'")
        conn.execute("update lode.scene set processing_level = 'surface_reflectance' where product = 'b'")
        assert [target.is_suitable for target in campaigns.targets(conn, 1)] == [False, False, True]
        same = "select (lode_api.suitable_model(scene_id) = 1) is true from lode.scene order by product"
        assert [said for (said,) in conn.execute(same)] == [False, False, True]
        conn.rollback()


def test_an_actor_refuses_a_copy_of_the_database(
    url: str, make: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = RunBook(url, 1)
    book.open()
    copy = make()

    def said(given: str, version: str = version(), mark: int = book.mark) -> Hello:
        monkeypatch.delenv("LODE_DATABASE_URL", raising=False)
        return Interpreter("cpu").hello(Secret(given), mark, version)

    assert said(url).refusal == ""
    assert "CPU" in said(url).device
    assert said(copy).refusal == (
        "LODE_DATABASE_URL leads to another database here than where the campaign was started"
    )
    assert said(url, mark=book.mark ^ 1).refusal.startswith("LODE_DATABASE_URL leads to another database")
    assert said(url, version="0.0.1").refusal.startswith("Lode 0.1.0 is installed here")
    monkeypatch.setenv("LODE_DATABASE_URL", url)  # of the machine itself: it goes before what was given
    assert Interpreter("cpu").hello(Secret(copy), book.mark, version()).refusal == ""
    nowhere = said("postgresql://somebody:geheim-9@/x?host=/nowhere")
    assert nowhere.is_passing
    assert "no database server answers" in nowhere.refusal
    assert "geheim" not in repr(nowhere)
    assert repr(Secret("geheim-9")) == "Secret(***)"
    book.close()
    assert said(url).refusal.startswith("LODE_DATABASE_URL leads to another database")


def test_an_actor_answers_for_what_broke(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    book = RunBook(url, 1)
    book.open()
    actor = HandCrew(url, book.mark).actor
    assert actor.perform(1, Task(99)).end == protocol.REFUSED

    def breaks(*_arguments: object, **_named: object) -> None:
        raise ValueError("at postgresql://u:geheim-9@host/x")

    monkeypatch.setattr("inference.tasks.perform_run", breaks)
    ended = actor.perform(2, Task(1))
    assert (ended.end, ended.reason) == (protocol.BROKEN, "ValueError: at postgresql://u:***@host/x")

    def lost(*_arguments: object, **_named: object) -> None:
        raise psycopg.errors.AdminShutdown("terminating connection")

    monkeypatch.setattr("inference.tasks.perform_run", lost)
    assert actor.perform(3, Task(1)).end == protocol.TRANSIENT
    assert actor.standing().number is None
    book.close()
