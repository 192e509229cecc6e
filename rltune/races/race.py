"""Runs a race: every method on every seed is a run of its own, in the race's folder."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rltune import schedulers
from rltune.callbacks.base import Callback
from rltune.errors import BadInput, NothingUsable
from rltune.races.methods import Method
from rltune.request.resolve import make_request
from rltune.runs.folder import RunFolder, is_finished
from rltune.runs.json_text import dumps, loads
from rltune.runs.names import check_name, default_name
from rltune.runs.remote import location
from rltune.spec import JobSpec, RunSpec

#: What a race was asked for, and what came out, in its folder.
REQUEST, OUTCOME, REPORT = "race.json", "outcome.json", "report.html"
#: What of a request decides what is trained, and how it is judged.
SAME = (
    *("algo", "env_id", "env_args", "imports", "settings", "space", "constraints", "budget"),
    *("evaluation", "metric", "mode", "simulator", "environments"),
)
#: Whole trials that a lap may spend by default.
TRIALS_WORTH = 8
#: Members of a population at least, whatever its share of the steps.
FEWEST_MEMBERS = 4


@dataclass(frozen=True)
class Lap:
    """One method on one seed.

    Attributes:
        number: of the repetition, from 0.
    """

    method: Method
    number: int
    spec: RunSpec
    job: JobSpec

    @property
    def folder(self) -> RunFolder:
        """Its run, which may not be there yet."""
        return RunFolder(Path(self.spec.storage) / self.spec.name)

    @property
    def is_done(self) -> bool:
        """Whether its run is finished."""
        return self.folder.has("run.json") and is_finished(self.folder)

    def start(self, callbacks: Sequence[Callback] = ()) -> None:
        """Runs it, or continues it."""
        from rltune.sweeps import runner  # with Ray: a dry run does without

        if self.folder.has("run.json"):
            runner.resume(RunFolder.open(self.folder.path), callbacks)
        else:
            runner.run(self.spec, callbacks, self.job)


@dataclass(frozen=True)
class Race:
    """Methods at equal environment steps.

    Attributes:
        folder: that holds a run for each lap.
        total_steps: environment steps of each lap.
        laps: method by method within a repetition, whose order rotates.
    """

    folder: Path
    methods: Sequence[Method]
    repetitions: int
    total_steps: int
    laps: Sequence[Lap]

    def check_free(self) -> None:
        """Checks that the folder is free, or holds the same race, which then continues.

        Raises:
            BadInput: it holds anything else.
        """
        path = self.folder / REQUEST
        if not self.folder.exists():
            return
        if not path.is_file():
            raise BadInput(f"{self.folder} exists and is no race: choose another `name`")
        if loads(path.read_text(), Mapping) != self.request:
            raise BadInput(
                f"{self.folder} holds a race of other methods, steps, seeds or settings: choose "
                "another `name`, or ask for the same to continue it"
            )

    @property
    def request(self) -> dict[str, Any]:
        """What makes it the same race: what was asked for of every method, and the seeds."""
        of_methods: dict[str, Any] = {}
        for lap in self.laps:
            asked = lap.spec.to_dict()
            of_methods.setdefault(lap.method.name, {name: asked[name] for name in SAME})
        values = {
            "methods": of_methods,
            "seeds": {lap.spec.name: lap.spec.seed for lap in self.laps},
        }
        return dict(loads(dumps(values), Mapping))  # as it is read back

    def run(self, start: Callable[[Lap], None]) -> None:
        """Runs what is left of it.

        Args:
            start: runs a lap to its end, or continues it. One of which nothing usable came out has
                no score.
        """
        self.check_free()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / REQUEST).write_text(dumps(self.request, indent=2) + "\n")
        try:
            for lap in self.laps:
                if not lap.is_done:
                    _run(lap, start)
        finally:
            if not any(lap.folder.path.exists() for lap in self.laps):
                shutil.rmtree(self.folder)  # nothing could start: the name is free again


def _run(lap: Lap, start: Callable[[Lap], None]) -> None:
    try:
        start(lap)
    except NothingUsable:
        if not lap.is_done:
            raise


def race(
    algo: str,
    env: Any,
    methods: Sequence[Method],
    *,
    seeds: int,
    total_steps: int | None,
    seed: int = 0,
    storage: str | Path = "runs",
    name: str | None = None,
    **options: Any,
) -> Race:
    """The request of a race, every lap of it checked.

    Args:
        seeds: repetitions: laps of each method.
        total_steps: environment steps of a lap; None for those of eight trials of the preset.
        options: of :func:`rltune.sweep`, for every lap.

    Raises:
        BadInput: with every problem that was found.
    """
    if seeds < 2:
        raise BadInput(f"seeds must be at least 2, got {seeds}")
    if name is not None:
        check_name(name)
    if location.is_url(str(storage)):
        raise BadInput(f"storage {storage}: a race is kept in a folder: choose one as `storage`")
    storage = Path(storage).expanduser().resolve()
    probe, _ = make_request(algo, env, seed=seed, storage=storage, **options)
    steps = probe.budget.steps
    total = total_steps or TRIALS_WORTH * steps
    if total < steps:
        raise BadInput(f"total_steps: {total:,} are fewer than the {steps:,} steps of one trial")
    folder = storage / (name or default_name(f"compare-{algo}", probe.env, str(storage)))
    laps = [
        _lap(
            method,
            number,
            *make_request(
                algo,
                env,
                **{
                    **options,
                    "scheduler": method.scheduler,
                    "searcher": method.searcher,
                    "trials": _trials(method, probe, total),
                    "total_steps": total,
                    "target": math.inf if probe.mode == "max" else -math.inf,
                    "seed": seed + number,
                    "storage": folder,
                    "name": f"{method.name.replace('+', '-')}-{number}",
                    "report": False,
                },
            ),
        )
        for number in range(seeds)
        for method in _rotated(methods, number)
    ]
    return Race(folder, list(methods), seeds, total, laps)


def _lap(method: Method, number: int, spec: RunSpec, job: JobSpec) -> Lap:
    """A lap, which its steps alone end: the time budget of a preset would favour quick methods."""
    budget = replace(spec.budget, time_budget=None)
    return Lap(method, number, replace(spec, budget=budget), job)


def _rotated(methods: Sequence[Method], number: int) -> Iterator[Method]:
    """The methods, another one first each time: a machine that gets busier favours none."""
    return (methods[(place + number) % len(methods)] for place in range(len(methods)))


def _trials(method: Method, spec: RunSpec, total: int) -> int:
    """Trials of a lap: a population as large as its steps last; else as many as may be started."""
    if schedulers.row(method.scheduler).population:
        return max(FEWEST_MEMBERS, total // spec.budget.steps)
    if method.scheduler == "fifo":
        return math.ceil(total / spec.budget.steps)
    return math.ceil(total / min(spec.budget.perturb_every, spec.budget.steps))
