"""Tune's controller, with what it gets wrong of processes that die."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air._internal import usage as air_usage
from ray.air.execution._internal import RayActorManager
from ray.tune import tune
from ray.tune.execution import tune_controller
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from rltune.sweeps.ray_adapter.driver import replaced
from rltune.sweeps.ray_adapter.losses import as_death


class Controller(TuneController):
    """Tries a trial again whose process had died before it was given to the trial.

    Tune gives a trial an idle process with a call of its ``reset``. Where the process is dead, Tune
    handles the failure twice, the second time as one for good, and takes the trial to be resetting
    from then on, so that it never starts again (ray 2.60, ``_actor_failed`` and
    ``_maybe_reuse_cached_actor``). This can go once a trial outlives the death of an idle process:
    tests/sweeps/test_three_nodes.py.
    """

    def _maybe_add_actors(self) -> None:
        """Starts no more processes than trials shall run at a time.

        Tune starts as many as find room; on several machines nothing else keeps them fewer.
        """
        room = max(0, self._scheduler_alg.slots() - self._actor_manager.num_live_actors)
        with replaced(self, "_max_pending_trials", room):
            super()._maybe_add_actors()

    def _trial_task_failure(self, trial: Trial, exception: Exception) -> None:
        resets = trial in self._resetting_trials
        self._resetting_trials.discard(trial)
        if trial.status == Trial.PENDING:
            if not resets:
                return  # handled already, as the failure of the trial's process
            # Its reset raised, in a process that lives.
            self._set_trial_status(trial, Trial.RUNNING)
            self._unstage_trial_with_resources(trial)
        super()._trial_task_failure(trial, exception)


class ActorManager(RayActorManager):
    """Takes whatever ends a process for its death."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        super()._actor_task_failed(tracked_actor_task, as_death(exception))


@contextmanager
def in_use() -> Iterator[None]:
    """Makes ``tune.run`` use it, and import no experiment tracker to count its users.

    Ray imports all of them that are installed (ray 2.60, air/_internal/usage.py), though nothing is
    counted; Weights & Biases leaves temporary folders where a process is killed.
    """
    with (
        replaced(tune, "TuneController", Controller),
        replaced(tune_controller, "RayActorManager", ActorManager),
        replaced(air_usage, "tag_callbacks", lambda _: None),
    ):
        yield
