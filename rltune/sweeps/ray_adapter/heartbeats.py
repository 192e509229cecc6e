"""What a sweep reads of its processes' signs of life, and how it ends one that gives none."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rltune.algorithms.heartbeat import PATIENCE, WATCHED, Beat, room, store
from rltune.errors import MachineError
from rltune.processes import stalled
from rltune.sweeps.ray_adapter.driver import TRIAL_VARIABLES

#: Seconds that Ray's store gets for its first answer.
START = 60.0


class Heartbeats:
    """The beats of the processes of this job.

    Args:
        interval: seconds from one beat to the next.

    Raises:
        MachineError: the cluster's head does not answer.
    """

    def __init__(self, interval: float) -> None:
        self._room, self._store = room(), store()
        body = str(interval).encode()
        try:
            self._store.internal_kv_put(WATCHED, body, True, self._room, timeout=START)
        except RayError as error:
            raise MachineError(f"the head of the Ray cluster does not answer: {error}") from error

    def read(self) -> dict[str, Beat]:
        """The newest beat of each process, by the id of its actor.

        Raises:
            RayError: the cluster's head does not answer.
        """
        keys = self._store.internal_kv_keys(b"", self._room, timeout=PATIENCE)
        names = [key for key in keys if key != WATCHED]
        found: Mapping[bytes, bytes] = (
            self._store.internal_kv_multi_get(names, self._room, timeout=PATIENCE) if names else {}
        )
        return {name.decode(): Beat.read(body) for name, body in found.items()}

    def forget(self, name: str) -> None:
        """Removes the beat of a process that is gone."""
        with suppress(RayError):
            self._store.internal_kv_del(name.encode(), False, self._room, timeout=PATIENCE)

    def close(self) -> None:
        """Removes all of them."""
        with suppress(RayError):
            self._store.internal_kv_del(b"", True, self._room, timeout=PATIENCE)


def end_if_stalled(beat: Beat, blocked: bool) -> Any:
    """Has a process looked at on its own machine, and ended if it stands still.

    Killed from its own machine it can do nothing more, whenever it would have woken: Ray learns of
    its death as of any other. ``ray.kill`` reports a stopped process dead seconds before it is
    (ray 2.60).

    Returns:
        What :func:`rltune.processes.stalled.end_if_stalled` will have found, as Ray's reference.
    """
    there = NodeAffinitySchedulingStrategy(beat.node, soft=False)
    look = ray.remote(stalled.end_if_stalled).options(
        num_cpus=0,
        max_retries=0,
        scheduling_strategy=there,
        runtime_env={"env_vars": dict(TRIAL_VARIABLES)},
    )
    return look.remote(beat.pid, beat.created, blocked)
