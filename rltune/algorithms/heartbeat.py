"""A sign of life of each process that trains, which its sweep looks at from outside.

It is kept in Ray's key-value store, which every machine of a cluster reaches.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import ray
from ray._private.worker import global_worker
from ray.exceptions import RayError

#: Seconds between two beats, and those that Ray's store gets to answer.
BEAT, PATIENCE = 5.0, 5.0
#: The key that says that a sweep looks, and how often; without it no process beats.
WATCHED = b"watched"


@dataclass(frozen=True)
class Beat:
    """What a process says of itself.

    Attributes:
        node: of Ray's, as its id.
        pid: there.
        created: when the process started, by which it is known from a later one of its number.
        count: of its beats.
    """

    node: str
    pid: int
    created: float
    count: int

    @classmethod
    def read(cls, body: bytes) -> Beat:
        """From what the store holds."""
        return cls(**json.loads(body))


def store() -> Any:
    """Ray's key-value store; what it raises is a ``RayError``."""
    return global_worker.gcs_client


def room() -> bytes:
    """The namespace of this job's keys, the same in the driver and in its processes."""
    return f"rltune-{ray.get_runtime_context().get_job_id()}".encode()


class Heart:
    """Beats in a thread of its own, as long as the process lives.

    Args:
        interval: seconds from one beat to the next.
    """

    def __init__(self, interval: float) -> None:
        context, process = ray.get_runtime_context(), psutil.Process()
        self._room, self._key = room(), str(context.get_actor_id()).encode()
        self._beat = Beat(context.get_node_id(), process.pid, process.create_time(), 0)
        self._interval = interval
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def _run(self) -> None:
        for count in range(1 << 62):
            body = json.dumps({**asdict(self._beat), "count": count}).encode()
            with suppress(RayError):
                store().internal_kv_put(self._key, body, True, self._room, timeout=PATIENCE)
            time.sleep(self._interval)


_hearts: list[Heart] = []


def start() -> None:
    """Has this process beat from now on, where a sweep looks; once is enough."""
    if _hearts or not ray.is_initialized() or ray.get_runtime_context().get_actor_id() is None:
        return
    with suppress(RayError):
        interval = store().internal_kv_get(WATCHED, room(), timeout=PATIENCE)
        if interval is not None:
            _hearts.append(Heart(float(interval)))
