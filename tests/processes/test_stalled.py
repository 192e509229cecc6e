"""Processes that stand still, and those that only seem to."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest

from rltune.processes import stalled
from rltune.processes.descendants import end

SLEEP = "import time; time.sleep(60)"
Started = Callable[[str], psutil.Process]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    monkeypatch.setattr(stalled, "LOOK", 1.0)
    processes = []

    def start(code: str) -> psutil.Process:
        words = [sys.executable, "-c", f"print(flush=True)\n{code}"]
        processes.append(subprocess.Popen(words, stdout=subprocess.PIPE))
        assert processes[-1].stdout is not None
        processes[-1].stdout.readline()
        return psutil.Process(processes[-1].pid)

    yield start
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            end(psutil.Process(process.pid).children(recursive=True))
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def look(process: psutil.Process, blocked: bool = True) -> str:
    return stalled.end_if_stalled(process.pid, process.create_time(), blocked)


@pytest.mark.fault(15)
def test_a_process_that_stands_still_is_ended(started: Started) -> None:
    stopped, idle, busy = started(SLEEP), started(SLEEP), "while 1: 0"
    stopped.suspend()
    while stopped.status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    assert look(stopped, blocked=False) == "ended"
    assert look(idle, blocked=False) == "busy", "a call of an environment may take any time"
    assert look(idle) == "ended"
    assert look(started(busy)) == "busy"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{busy}'])"
    assert look(started(parent)) == "busy", "its child computes"
    assert not idle.is_running() or idle.status() == psutil.STATUS_ZOMBIE


@pytest.mark.fault(15)
def test_a_later_process_of_the_same_number_is_left_alone(started: Started) -> None:
    process = started(SLEEP)
    assert stalled.end_if_stalled(process.pid, process.create_time() - 100, True) == "gone"
    assert process.is_running()
    process.kill()
    process.wait()
    assert stalled.end_if_stalled(process.pid, 0.0, True) == "gone"
