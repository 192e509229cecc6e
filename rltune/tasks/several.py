"""The task of judging settings in several environments by the mean of normalised scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rltune.engine.metric_names import NORMALIZED
from rltune.environments import SEVERAL
from rltune.errors import BadInput
from rltune.tasks.rl import RLTask


class SeveralTask(RLTask):
    """Trains a policy in each environment at the same settings.

    A trial is a :class:`rltune.algorithms.several.SeveralTrial`.
    """

    @property
    def _tasks(self) -> dict[str, RLTask]:
        """The task of each environment by itself."""
        names = [environment.name for environment in self.spec.environments]
        return dict(zip(names, map(RLTask, self.spec.singles), strict=True))

    @property
    def trainable(self) -> type:
        """The class of a trial that holds an algorithm for each environment."""
        # With Ray: a resume is refused without waiting for it.
        from rltune.algorithms.several import SeveralTrial

        return SeveralTrial

    def config(self, pauses: Sequence[int], cpus: float) -> dict[str, Any]:
        """The part of a trial's config that no searcher chooses."""
        spec, tasks = self.spec, self._tasks
        # The trial ends processes once the environments of all its algorithms are closed.
        own = {"ends_processes": False}
        return {
            SEVERAL: {
                "algo": spec.algo,
                "settings": list(spec.settings),
                "searched": list(spec.space),
                "environments": [environment.to_dict() for environment in spec.environments],
                "configs": {n: {**task.config((), cpus), **own} for n, task in tasks.items()},
                "pauses": list(pauses),
                "bundles": self.bundles(cpus),
                "placement": spec.resources.placement.upper(),
            }
        }

    @property
    def steps_per_report(self) -> int:
        """Environment steps between two reports, at least: one iteration in each environment."""
        return super().steps_per_report * len(self.spec.environments)

    def rehearse(self) -> None:
        """Lets the untrained network play in every environment."""
        problems: list[str] = []
        for task in self._tasks.values():
            try:
                task.rehearse()
            except BadInput as error:
                problems += error.problems
        if problems:
            raise BadInput(problems)

    def check_here(self, where: str) -> None:
        """Checks that the environments and what steps them are on this machine."""
        for task in self._tasks.values():
            task.check_here(where)

    def identity(self) -> dict[str, Any]:
        """The algorithm, and every environment with its scale."""
        found: dict[str, Any] = {"env": self.spec.env_id}
        for name, task in self._tasks.items():
            found |= {f"{name}/{key}": value for key, value in task.identity().items()}
        for environment in self.spec.environments:
            found[f"{environment.name}/random"] = environment.random.mean
            found[f"{environment.name}/threshold"] = environment.threshold
        return found

    def metrics(self, result: Mapping[str, Any]) -> dict[str, float]:
        """The normalised score, and the means of each environment by ``<environment>/<metric>``."""
        return dict(result["metrics"])

    def may_come_later(self, result: Mapping[str, Any]) -> bool:
        """Whether no episode has ended yet in one of the environments."""
        return NORMALIZED not in result
