"""Tells a process that stands still from one that computes, and ends it."""

from __future__ import annotations

import time

import psutil

from rltune.processes.descendants import end

#: Seconds of a look, and the part of one core below which a process does nothing in them. Ray's
#: own threads take less.
LOOK, IDLE = 5.0, 0.03


def end_if_stalled(pid: int, created: float, blocked: bool) -> str:
    """Ends a process, and what it has started, if it stands still.

    One that holds the interpreter lock cannot say that it lives, and may compute for hours.

    Args:
        created: when it started: another may have its number by now.
        blocked: whether one that was not stopped, and does nothing, stands still.

    Returns:
        "ended", "busy" or "gone".
    """
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - created) > 1:
            return "gone"
        if process.status() != psutil.STATUS_STOPPED and (not blocked or _computes(process)):
            return "busy"
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return "gone"
    end(family)
    return "ended"


def _computes(process: psutil.Process) -> bool:
    before = _seconds(process)
    time.sleep(LOOK)
    return _seconds(process) - before > IDLE * LOOK


def _seconds(process: psutil.Process) -> float:
    """CPU time of a process and of what it has started."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        times = one.cpu_times()
        total += times.user + times.system
    return total
