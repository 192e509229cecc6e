"""The task of any function: a plain Python function, or a class trainable of Tune's, reports."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rltune.catalog.presets import fixed_and_searched
from rltune.envs import places
from rltune.errors import BadInput, NothingUsable
from rltune.options import Budget, Resources
from rltune.request.resolve import versions
from rltune.request.schedule import interval
from rltune.runs.folder import BEST, RunFolder, check_name, default_name
from rltune.runs.summary_record import BestPolicy, Summary
from rltune.schedulers import row, unused
from rltune.space import Space, parse_parameter
from rltune.spec import FUNCTION, RunSpec
from rltune.tasks.base import Task
from rltune.tasks.metrics import RESERVED

#: The key of a trial's config under which rltune tells its trainable what is not a setting.
OWN = "rltune"
#: Names in a trial's config that no setting may have.
TAKEN = frozenset({OWN, "seed", "exploit"})


class FunctionTask(Task):
    """Runs a function, or a class trainable, whose import path is the run's ``env_id``.

    A plain function is called as ``function(config)`` and calls :func:`rltune.report`, see
    :mod:`rltune.tasks.session`; of a class, see
    :class:`rltune.tasks.function_trial.MemberMixin`. The clock is called ``env_steps`` here as in
    every run folder: it is the number of reports, unless a report sets it.
    """

    outcome = "checkpoint"

    @property
    def trainable(self) -> type:
        """A trainable that reports what the function does."""
        # With Ray: a resume is refused without waiting for it.
        from rltune.tasks.function_trial import trainable_of

        return trainable_of(self.spec.env_id)

    def config(self, pauses: Sequence[int], cpus: float) -> dict[str, Any]:
        """What the trainable needs to know beside the settings; a pause costs it nothing."""
        budget = self.spec.budget
        own = {
            "metric": self.metric.name,
            # By the clock, of which a report may be any part. A population's scheduler saves.
            "saved_every": 0 if row(budget.scheduler).population else budget.perturb_every,
            "settings": list(self.spec.settings),
            "derived": dict(self.spec.derived),
            "needs": {**self.needs(), "CPU": cpus},
        }
        return {OWN: own}

    def rehearse(self) -> None:
        """Checks that the function is there and can be called."""
        self.check_here("the request")

    def check_here(self, where: str) -> None:
        """Checks that the function can be imported, and called."""
        _check_found(self.spec.env_id, where)

    def identity(self) -> dict[str, Any]:
        """The function, by its import path."""
        return {"function": self.spec.env_id, "metric": str(self.metric)}

    def metrics(self, result: Mapping[str, Any]) -> dict[str, float]:
        """The numbers that the function reported."""
        return dict(result["metrics"])

    def conclude(self, folder: RunFolder, summary: Summary) -> Summary:
        """The checkpoint with the best metric; it is not evaluated: what it reported counts."""
        record = folder.best_record
        if record is None:
            raise NothingUsable(f"no trial left a checkpoint with a finite {self.metric.name}")
        best = BestPolicy(
            trial=record.trial or "",
            config={**self.spec.settings, **(record.settings or {})},
            checkpoint=BEST,
            env_steps=record.env_steps,
            score=self.metric.of(record.means),
        )
        return replace(summary, best=best)


def _check_found(place: str, where: str) -> None:
    try:
        found = places.find(place)
    except Exception as error:  # a module may raise anything
        raise BadInput(
            f"{where}: {place} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    check_callable(place, found)


def check_callable(place: str, found: Any) -> None:
    """Raises BadInput for what is neither a class trainable nor a function of one argument."""
    if isinstance(found, type):
        if not all(callable(getattr(found, name, None)) for name in ("setup", "step")):
            raise BadInput(f"{place} is no ray.tune.Trainable: it has no setup and step")
        return
    if not callable(found):
        raise BadInput(f"{place} is {found!r}, neither a function nor a class")
    try:
        inspect.signature(found).bind({})
    except TypeError as error:
        raise BadInput(
            f"{place} is called as {place.rpartition(':')[2]}(config), with a dict: {error}"
        ) from error


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as user's code takes them: those named ``model/depth`` in a dict ``model``.

    >>> nested({"lr": 0.1, "model": {"width": 64}, "model/depth": 2})
    {'lr': 0.1, 'model': {'width': 64, 'depth': 2}}
    """
    found: dict[str, Any] = {}
    values = copy.deepcopy(dict(settings))
    for name, value in sorted(values.items(), key=lambda item: item[0].count("/")):
        *parents, own = name.split("/")
        inside = found
        for parent in parents:
            inside = inside.setdefault(parent, {})
        if isinstance(value, dict) and isinstance(inside.get(own), dict):
            inside[own].update(value)
        else:
            inside[own] = value
    return found


def function_spec(
    function: str | Callable[..., Any],
    space: Mapping[str, Any],
    *,
    metric: str,
    mode: str = "max",
    budget: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    resources: Resources = Resources(),
    storage: str | Path = "runs",
    name: str | None = None,
    seed: int = 0,
) -> RunSpec:
    """The request of a sweep over a function.

    Args:
        function: ``module:name``, or the object itself where it can be imported.
        space: settings to search, as in a preset: ``{"lr": {"log": [1e-5, 1e-2]}}``.
        budget: options of :class:`rltune.options.Budget`; steps count reports, unless the function
            sets its own clock.
        settings: passed to the function as they are.

    Raises:
        BadInput: with what is wrong.
    """
    place = _place(function)
    _check_found(place, "the request")
    searched = Space({name: parse_parameter(name, body) for name, body in space.items()})
    if wrong := sorted(TAKEN & {*searched, *(settings or {})}):
        raise BadInput(f"settings {', '.join(wrong)}: the name is taken; use another")
    if wrong := fixed_and_searched(settings or {}, searched):
        raise BadInput(wrong)
    if wrong := unused(budget.get("scheduler", Budget.scheduler), budget):
        raise BadInput(wrong)
    if metric in RESERVED:
        raise BadInput(f"metric {metric}: rltune reports that itself; use another name")
    folder = Path(storage).expanduser().resolve()
    title = places.split(place)[1]
    if name is not None:
        check_name(name)
    return RunSpec(
        algo=FUNCTION,
        env=title,
        env_id=place,
        settings={
            **(settings or {}),
            **{name: p.from_unit(0.5) for name, p in searched.items()},
            **searched.defaults(),
        },
        space=searched,
        budget=Budget(**interval(Budget(), budget)),
        name=name or default_name(FUNCTION, title, folder),
        storage=str(folder),
        seed=seed,
        resources=resources,
        metric=metric,
        mode=mode,
        started_in=str(Path.cwd()),
        versions=versions("gymnasium"),
    )


def _place(function: str | Callable[..., Any]) -> str:
    try:
        place = places.absolute(function) if isinstance(function, str) else None
        return place or places.place_of(function)
    except ValueError as error:
        raise BadInput(str(error)) from error
