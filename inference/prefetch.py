"""Work ahead in a thread, so that reading overlaps with computing."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
_POLL_S = 0.1


@dataclass(frozen=True)
class _Failure:
    error: BaseException


@dataclass(frozen=True)
class _End:
    pass


class _Ahead(Generic[T]):
    def __init__(self, items: Iterable[T], ahead: int) -> None:
        self._items = items
        self._queue: queue.Queue[T | _Failure | _End] = queue.Queue(maxsize=ahead)
        self._is_wanted = True
        self._thread = threading.Thread(target=self._work, name="lode-prefetch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_wanted = False
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                return
            if isinstance(item, _Failure):
                raise item.error
            yield item

    def _work(self) -> None:
        last: _Failure | _End = _End()
        try:
            for item in self._items:
                if not self._put(item):
                    return
        # the consumer raises it again, in its own thread
        except BaseException as error:
            last = _Failure(error)
        self._put(last)

    def _put(self, item: T | _Failure | _End) -> bool:
        while self._is_wanted:
            try:
                self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False


@contextmanager
def prefetched(items: Iterable[T], ahead: int = 2) -> Iterator[Iterator[T]]:
    """Iterate over ``items`` in a thread that is at most ``ahead`` items ahead.

    Nobody else may use what ``items`` uses (a database connection, say) until the block is left; leaving it
    waits for the thread. An exception of the thread is raised where the item would have come.
    """
    worker = _Ahead(items, ahead)
    worker.start()
    try:
        yield iter(worker)
    finally:
        worker.stop()
