"""A database with scenes to interpret, and copies of it."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import pytest
import structlog

from db.embedded import Cluster
from inference.interpret import interpret
from service import campaign as campaign_module
from tests.campaign_scenes import PRODUCTS, attempts, published, split, stock
from tests.conftest import copied_database


@pytest.fixture(scope="package")
def stocked(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    name = "lode_test_campaign"
    cluster.create_database(name, template=template_database)
    stock(cluster.url(name), tmp_path_factory.mktemp("campaign"))
    yield name
    cluster.drop_database(name)


@pytest.fixture
def make(cluster: Cluster, stocked: str) -> Iterator[Callable[[], str]]:
    """Makes another copy of that database."""
    with ExitStack() as stack:

        def copy() -> str:
            url = stack.enter_context(copied_database(cluster, stocked))
            split(url)
            return url

        yield copy


@pytest.fixture
def url(make: Callable[[], str]) -> str:
    return make()


@pytest.fixture(scope="package")
def undisturbed(cluster: Cluster, stocked: str) -> list[Any]:
    """What `lode infer` publishes."""
    with copied_database(cluster, stocked) as url:
        split(url)
        for product in PRODUCTS:
            interpret(url, product, "x", device_name="cpu")
        assert sorted(attempts(url)) == [
            *((name, block) for name in "ab" for block in range(3)),
            ("small", 0),
        ]
        return published(url)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits seconds for news."""
    monkeypatch.setattr(campaign_module, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(campaign_module, "BUSY_PAUSE_S", 0.05)


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """Put back what an actor tells its process."""
    with patch.dict(os.environ):
        os.environ.pop("LODE_DATABASE_URL", None)
        yield


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """Put back what an actor sets up for the logs of its process."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()
