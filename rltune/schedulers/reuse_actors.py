"""Keeps the processes of trials that pause or end, for the next trials."""

from __future__ import annotations

from typing import Any

from rltune.schedulers.base import SchedulerContext


class ReuseActorsMixin:
    """Mixed into Tune's schedulers.

    Tune keeps one idle process, and more only for trials already waiting in line: two trials that
    pause together lose one of them, and starting another takes seconds (ray 2.60,
    TuneController._maybe_cache_trial_actor). This makes room for one a slot. It can go once
    ``reuse_actors=True`` alone keeps them.
    """

    _context: SchedulerContext
    _has_room = False

    def saved(self, trial: Any) -> None:
        """A trial's checkpoint is written: what it reported before counts from now on."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Makes room with the first trial: all of them ask for the same resources."""
        super().on_trial_add(tune_controller, trial)  # type: ignore[misc]
        if not self._has_room:
            self._has_room = True
            for _slot in range(self._context.slots):
                tune_controller._actor_cache.increase_max(trial.placement_group_factory)
