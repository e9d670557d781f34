"""Chores end although a cancellation was forgotten."""

from __future__ import annotations

import asyncio

import pytest

from service.aside import end_all


@pytest.mark.parametrize("forgotten", [0, 1, 3])
def test_a_forgotten_cancellation_is_repeated(forgotten: int) -> None:
    async def chore() -> None:
        left = forgotten
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if not left:
                    raise
                left -= 1

    async def end() -> list[bool]:
        tasks = [asyncio.create_task(chore()) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.wait_for(end_all(tasks, patience_s=0.02), 20)
        return [task.cancelled() for task in tasks]

    assert asyncio.run(end()) == [True, True]


def test_nothing_to_end() -> None:
    asyncio.run(end_all([]))
