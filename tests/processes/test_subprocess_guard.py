"""Work in forked children: answers, exceptions, ends."""

from __future__ import annotations

import ctypes
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
from conftest import environment
from rich.console import Console
from rich.live import Live

from rltune.errors import EnvironmentExit, EnvironmentFailed, ProcessEnded
from rltune.processes.subprocess_guard import Guard, each_isolated, isolated
from rltune.processes.watchdog import watchdog


def test_answers_keep_the_order_of_the_work() -> None:
    def work(number: int, guard: Guard) -> tuple[int, int]:
        time.sleep(0.3 if number == 0 else 0.0)
        return number, os.getpid()

    answers = each_isolated([partial(work, number) for number in range(6)], 60.0, 2)
    assert [number for number, _ in answers] == [0, 1, 2, 3, 4, 5]
    assert len({pid for _, pid in answers} | {os.getpid()}) == 7, "each in a process of its own"


def test_the_number_of_parallel_children_is_limited() -> None:
    def work(guard: Guard) -> tuple[float, float]:
        start = time.monotonic()
        time.sleep(0.4)
        return start, time.monotonic()

    spans = each_isolated([work] * 5, 60.0, 2)
    together = [sum(a <= start < b for a, b in spans) for start, _ in spans]
    assert max(together) == 2


def test_an_exception_affects_its_own_work_alone() -> None:
    def fails(guard: Guard) -> int:
        raise ValueError("what it says")

    failed, answer = each_isolated([fails, lambda _: 7], 60.0, 2)
    assert repr(failed) == "ValueError('what it says')"
    assert answer == 7
    with pytest.raises(ValueError, match="what it says"):
        isolated(fails, 60.0)


def test_an_exception_that_cannot_be_unpickled_is_reported() -> None:
    class Own(Exception):
        def __init__(self, code: int, what: str) -> None:
            super().__init__(f"{what} ({code})")

    def fails(guard: Guard) -> None:
        raise Own(7, "no licence")

    with pytest.raises(EnvironmentFailed, match=r"^Own: no licence \(7\)$"):
        isolated(fails, 60.0)


@pytest.mark.fault(99)
def test_a_child_that_ends_is_reported_with_its_exit() -> None:
    with pytest.raises(ProcessEnded, match=r"^the environment ended its process with exit code 3$"):
        isolated(lambda _: os._exit(3), 60.0)
    with pytest.raises(ProcessEnded, match=r"^the environment ended its process by SIGKILL$"):
        isolated(lambda _: os.kill(os.getpid(), signal.SIGKILL), 60.0)


@pytest.mark.fault(99)
@pytest.mark.parametrize(
    ("ends", "error"),
    [
        (lambda: sys.exit(3), "SystemExit: 3 raised in <lambda> (FILE:LINE)"),
        (lambda: sys.exit(), "SystemExit raised in <lambda> (FILE:LINE)"),
        (lambda: interrupts(), "KeyboardInterrupt raised in interrupts (FILE:LINE)"),
        (
            lambda: os._exit(0),
            "Crashed: the environment ended its process with exit code 0 (in <lambda>, FILE:LINE)",
        ),
    ],
)
def test_an_exit_inside_a_call_is_an_error_with_its_line(
    ends: Callable[[], object], error: str
) -> None:
    def work(guard: Guard) -> None:
        with guard:
            ends()

    with pytest.raises((EnvironmentExit, ProcessEnded)) as raised:
        isolated(work, 60.0)
    first = str(raised.value).partition("\n")[0]
    assert re.sub(r"\d+\)$", "LINE)", first.replace(__file__, "FILE")) == error


def interrupts() -> None:
    raise KeyboardInterrupt


@pytest.mark.fault(99)
@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("how", ["returns", "crashes", "hangs", "forks"])
def test_processes_of_a_child_do_not_outlive_it(tmp_path: Path, how: str, detached: bool) -> None:
    def work(guard: Guard) -> None:
        with guard:
            simulator = subprocess.Popen(["sleep", "1000"], start_new_session=detached)
            (tmp_path / "pid").write_text(str(simulator.pid))
            if how == "crashes":
                os._exit(3)
            if how == "hangs":
                re.match("(a+)+b", "a" * 64)
            if how == "forks" and os.fork() == 0:
                sys.exit(0)

    with suppress(ProcessEnded):
        isolated(work, 0.5 if how == "hangs" else 60.0)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


@pytest.mark.fault(99)
def test_a_process_forked_by_an_environment_never_runs_our_code(tmp_path: Path) -> None:
    def work(guard: Guard) -> int:
        with guard:
            if os.fork() == 0:
                raise ValueError("of the copy")
        with (tmp_path / "log").open("a") as log:
            log.write(f"{os.getpid()}\n")
        return os.getpid()

    assert f"{isolated(work, 60.0)}\n" == (tmp_path / "log").read_text()


@pytest.mark.fault(99)
def test_children_end_with_a_killed_parent(tmp_path: Path) -> None:
    code = f"""
import os, pathlib, time
from rltune.processes.subprocess_guard import isolated

def work(guard):
    pathlib.Path({str(tmp_path / "pids")!r}).write_text(f"{{os.getpid()}} {{os.getppid()}} done")
    time.sleep(1_000)

isolated(work, 2_000.0)
"""
    (temporary := tmp_path / "temporary").mkdir()
    around = {**environment(), "TMPDIR": str(temporary)}
    driver = subprocess.Popen([sys.executable, "-c", code], env=around)
    pids = tmp_path / "pids"
    wait_until(lambda: pids.exists() and pids.read_text().endswith("done"))
    driver.kill()
    driver.wait()
    ends = [int(pid) for pid in pids.read_text().split()[:2]]
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in ends))
    wait_until(lambda: not list(temporary.iterdir()))


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.02)


@pytest.mark.fault(21)
def test_a_crash_is_reported_where_another_handler_took_the_signal() -> None:
    """pytest has enabled faulthandler, and Ray puts a handler of its own over it."""
    before = signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    try:
        with pytest.raises(ProcessEnded) as ended:
            isolated(lambda _guard: ctypes.string_at(0), 5.0)
    finally:
        signal.signal(signal.SIGSEGV, before)
    assert "in string_at" in ended.value.report


def test_output_of_a_child_does_not_wait_for_a_lock_of_the_parent() -> None:
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


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_a_process_that_guards_calls_can_be_forked(tmp_path: Path) -> None:
    """The child has no thread of the timer, and would wait for it in setting its own."""
    own = watchdog(60.0, tmp_path / "own")
    child = os.fork()
    if not child:
        with watchdog(60.0, tmp_path / "child"):
            os._exit(7)
    deadline = time.monotonic() + 20
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    own.close()  # type: ignore[union-attr]
