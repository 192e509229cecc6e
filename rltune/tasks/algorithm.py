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
    def _needs_of_rllib(self) -> list[dict[str, float]]:
        """What the trial's processes need: its own, environment runners, learners."""
        spec = self.spec
        return bundles_of(spec.env_id, spec.settings, spec.derived)

    @property
    def cpus(self) -> float:
        """CPUs of one trial, its environment runners' and learners' included."""
        others = self._needs_of_rllib[1:]
        return self.spec.resources.cpus_per_trial + sum(b.get("CPU", 0) for b in others)

    def needs(self) -> dict[str, float]:
        """GPUs are the learners': the trial's own process has one where it is the learner."""
        own = {name: amount for name, amount in super().needs().items() if name != "GPU"}
        gpus = self._needs_of_rllib[0].get("GPU", 0.0)
        return {**own, "GPU": gpus} if gpus else own

    def bundles(self, cpus: float) -> list[dict[str, float]]:
        """The trial's own process, then its environment runners and learners."""
        return [*super().bundles(cpus), *self._needs_of_rllib[1:]]

    def mutable(self) -> Space:
        """All but what makes another network or environment, into which no weights would fit."""
        return changeable(self.spec.space)

    def may_come_later(self, result: Mapping[str, Any]) -> bool:
        """Whether no episode has ended yet."""
        return REWARD not in result["metrics"]
