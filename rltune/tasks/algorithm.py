"""The task of an algorithm of RLlib's that trains as RLlib does, without a preset."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from rltune.engine.metric_names import REWARD
from rltune.request.algorithms import bundles_of, changeable
from rltune.space import Space
from rltune.tasks.base import Task
from rltune.tasks.function import FunctionTask


class AlgorithmTask(FunctionTask):
    """Trains the algorithm whose import path is the run's ``env_id`` on stock RLlib."""

    remedy = Task.remedy

    @cached_property
    def _others(self) -> list[dict[str, float]]:
        """What the trial's other processes need: environment runners, learners."""
        spec = self.spec
        return bundles_of(spec.env_id, spec.settings, spec.derived)[1:]

    @property
    def cpus(self) -> float:
        """CPUs of one trial, its environment runners' and learners' included."""
        return self.spec.resources.cpus_per_trial + sum(b.get("CPU", 0) for b in self._others)

    def bundles(self, cpus: float) -> list[dict[str, float]]:
        """The trial's own process, then its environment runners and learners."""
        return [*super().bundles(cpus), *self._others]

    def mutable(self) -> Space:
        """All but what makes another network or environment, into which no weights would fit."""
        return changeable(self.spec.space)

    def may_come_later(self, result: Mapping[str, Any]) -> bool:
        """Whether no episode has ended yet."""
        return REWARD not in result["metrics"]
