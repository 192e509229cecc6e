"""Watches, beside a sweep's own loop, that its processes live and that its cluster answers.

The loop waits inside Ray for hours where a process stands still, and for good where the cluster's
head is gone: neither can be noticed from there.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import ray
from ray.exceptions import RayError

from rltune.algorithms.heartbeat import BEAT, PATIENCE, Beat
from rltune.processes.watchdog import ENV_TIMEOUT
from rltune.sweeps.ray_adapter.heartbeats import Heartbeats, end_if_stalled

#: Seconds without a sign of life after which a process is looked at. It is more than 1.5 times what
#: a call of an environment gets by default: then the process' own watchdog ends it and says where.
STALLED = 100.0
#: The part of the time after which Ray would end the process that the head gets to answer in, and
#: that time (``RAY_gcs_rpc_server_reconnect_timeout_s``).
PART, OF_RAY = 0.75, 60.0
#: Seconds from one look to the next, at most, while the head does not answer.
MOST = BEAT + 3 * PATIENCE


@dataclass
class Seen:
    """What is known of a process.

    Attributes:
        beat: its newest.
        silent: seconds that have been watched since that came.
        look: Ray's reference of a look at it on its machine; None while there is none.
    """

    beat: Beat
    silent: float = 0.0
    look: Any = None


class ProcessWatch:
    """Ends processes that stand still, so that their trials are tried again as after a crash.

    Args:
        env_timeout: seconds that one call of an environment may take; it may hold up the process'
            sign of life.
        silence: called once the cluster's head has not answered for too long, with the seconds.

    Attributes:
        ended: seconds of silence of processes that are ended for it, by the id of their actor.
        notices: what is to be told of them.
    """

    def __init__(self, env_timeout: float, silence: Callable[[float], None]) -> None:
        finite = math.isfinite(env_timeout)
        longer = max(0.0, env_timeout - ENV_TIMEOUT) if finite else 0.0
        self._limit = STALLED + 1.5 * longer
        self._blocked = finite
        self._silence = silence
        asked = os.environ.get("RAY_gcs_rpc_server_reconnect_timeout_s")  # noqa: SIM112
        self._patience = PART * (float(asked) if asked else OF_RAY)
        self._beats = Heartbeats(BEAT)
        self._seen: dict[str, Seen] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.ended: dict[str, float] = {}
        self.notices: SimpleQueue[str] = SimpleQueue()

    def _run(self) -> None:
        last, unanswered = time.monotonic(), 0.0
        while not self._closed.wait(min(1.0, BEAT) if unanswered else BEAT):
            try:
                beats, answered = self._beats.read(), True
            except RayError:
                beats, answered = {}, False
            now = time.monotonic()
            # This process may have been stopped itself, and the others not.
            passed = min(now - last, MOST)
            last, unanswered = now, 0.0 if answered else unanswered + passed
            self._look(beats, passed)
            if unanswered > self._patience and not self._closed.is_set():
                self._silence(unanswered)
                return

    def _look(self, beats: dict[str, Beat], passed: float) -> None:
        for name, beat in beats.items():
            seen = self._seen.get(name)
            if seen is None or seen.beat.count != beat.count:
                self._seen[name] = Seen(beat)
                continue
            seen.silent += passed
            if seen.look is not None:
                self._read(name, seen)
            elif seen.silent > self._limit:
                # Its trial fails before the answer has come.
                self.ended[name] = seen.silent
                seen.look = end_if_stalled(beat, self._blocked)

    def _read(self, name: str, seen: Seen) -> None:
        """Reads what a look at a process has found, once it is done."""
        if not ray.wait([seen.look], timeout=0)[0]:
            return
        try:
            found = ray.get(seen.look)
        except RayError:  # its machine is gone, and it with it
            found = "gone"
        if found == "ended":
            self.notices.put(
                f"a process on node {seen.beat.node[:8]} did not answer for "
                f"{self.ended[name]:.0f} s: it was ended"
            )
        else:
            del self.ended[name]
        if found == "busy":
            self._seen[name] = Seen(seen.beat)
        else:
            del self._seen[name]
            self._beats.forget(name)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def close(self) -> None:
        """Ends it. Ray may be ended after this, and not before."""
        self._closed.set()
        self._thread.join(MOST)
        self._beats.close()


@contextmanager
def watching(env_timeout: float, silence: Callable[[float], None]) -> Iterator[ProcessWatch]:
    """A watch in a thread of its own, for the time of a sweep."""
    watch = ProcessWatch(env_timeout, silence)
    watch.start()
    try:
        yield watch
    finally:
        watch.close()
