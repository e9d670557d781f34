"""Work shared out to threads: in order, with PyTorch's own threads and modes as they were."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator

import pytest
import torch

from inference.threads import in_threads, shares


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_items_are_worked_on_side_by_side_and_come_in_order() -> None:
    barrier = threading.Barrier(3, timeout=20)

    def work(item: int) -> tuple[int, int]:
        barrier.wait()  # nobody passes unless all three are at work at once
        return item, torch.get_num_threads()

    assert in_threads(work, [7, 5, 6]) == [(7, 1), (5, 1), (6, 1)]
    assert torch.get_num_threads() == 3


def test_one_item_or_one_thread_is_worked_on_where_it_is() -> None:
    assert in_threads(lambda _: (threading.get_ident(), torch.get_num_threads()), [1]) == [
        (threading.get_ident(), 3)
    ]
    torch.set_num_threads(1)
    assert in_threads(lambda _: threading.get_ident(), [1, 2]) == [threading.get_ident()] * 2


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_comes_once_all_have_ended(failing: int) -> None:
    done = threading.Event()
    failed = threading.Event()

    def work(item: int) -> None:
        if item == failing:
            failed.set()
            raise ValueError("torn")
        assert failed.wait(20)
        done.set()

    with pytest.raises(ValueError, match="torn"):
        in_threads(work, [0, 1])
    assert done.is_set()
    assert torch.get_num_threads() == 3


def test_gradients_are_recorded_as_in_the_calling_thread() -> None:
    def modes(_item: int) -> tuple[bool, bool]:
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    assert in_threads(modes, [0, 1]) == [(True, False)] * 2
    with torch.no_grad():
        assert in_threads(modes, [0, 1]) == [(False, False)] * 2
    with torch.inference_mode():
        assert in_threads(modes, [0, 1]) == [(False, True)] * 2


def _in_a_child(answers: multiprocessing.SimpleQueue[list[int]]) -> None:
    answers.put(in_threads(lambda item: item + 1, [1, 2, 3]))


def test_a_forked_process_has_threads_of_its_own() -> None:
    in_threads(lambda item: item, [1, 2, 3])  # the pool is there
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.SimpleQueue[list[int]] = context.SimpleQueue()
    child = context.Process(target=_in_a_child, args=(answers,))
    child.start()
    child.join(20)
    is_hanging = child.is_alive()
    child.kill()
    assert not is_hanging
    assert answers.get() == [2, 3, 4]


def test_shares_are_whole_and_of_like_length() -> None:
    assert shares(10) == [slice(0, 3), slice(3, 6), slice(6, 10)]
    assert shares(10, least=4) == [slice(0, 5), slice(5, 10)]
    assert shares(3, least=4) == [slice(0, 3)]
    assert shares(0) == [slice(0, 0)]
