"""Work in forked children: answers, exceptions, ends."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from functools import partial

import pytest
from rich.console import Console
from rich.live import Live

from rltune.errors import ProcessEnded
from rltune.isolated import Guard, each_isolated, isolated


def test_answers_come_in_the_order_of_the_work_however_long_each_takes() -> None:
    def work(number: int, guard: Guard) -> tuple[int, int]:
        time.sleep(0.3 if number == 0 else 0.0)
        return number, os.getpid()

    answers = each_isolated([partial(work, number) for number in range(6)], 60.0, 2)
    assert [number for number, _ in answers] == [0, 1, 2, 3, 4, 5]
    assert len({pid for _, pid in answers} | {os.getpid()}) == 7, "each in a process of its own"


def test_so_many_run_side_by_side_and_no_more() -> None:
    def work(guard: Guard) -> tuple[float, float]:
        start = time.monotonic()
        time.sleep(0.4)
        return start, time.monotonic()

    spans = each_isolated([work] * 5, 60.0, 2)
    together = [sum(a <= start < b for a, b in spans) for start, _ in spans]
    assert max(together) == 2


def test_an_exception_is_raised_here_and_the_others_are_ended() -> None:
    def fails(guard: Guard) -> None:
        raise ValueError("what it says")

    def lasts(guard: Guard) -> None:
        time.sleep(1_000)

    with pytest.raises(ValueError, match="what it says"):
        each_isolated([lasts, fails], 60.0, 2)


def test_a_child_that_is_gone_is_told() -> None:
    with pytest.raises(ProcessEnded, match="with exit code 3"):
        isolated(lambda _: os._exit(3), 60.0)


def test_what_a_child_prints_waits_for_no_lock_of_ours() -> None:
    """A live table takes over stdout, and its thread may hold its lock while we fork."""
    console = Console(file=io.StringIO(), force_terminal=True)

    def talks(guard: Guard) -> str:
        with guard:
            sys.stdout.write("chatter\n")
        return "done"

    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with console._lock:
            held.set()
            done.wait(30)

    with Live(console=console):
        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        try:
            assert isolated(talks, 2.0) == "done"
        finally:
            done.set()
            holder.join()
