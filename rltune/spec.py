"""Frozen values: what a preset is and what a run was asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, get_type_hints

import numpy as np

from rltune import schema
from rltune.engine.episodes import REWARD
from rltune.errors import BadInput
from rltune.metric import Metric
from rltune.processes.watchdog import ENV_TIMEOUT
from rltune.space import Constraint, Space, parse_parameter

#: Four ranges of environment seeds that never meet. They start with: training while a sweep tunes
#: (0), training with settings that are tuned already, choosing between checkpoints, evaluation.
FIRST_FRESH_SEED = 1 << 29
FIRST_SELECTION_SEED = 1 << 30
FIRST_EVALUATION_SEED = 2 << 30
#: A trial's seed lies below, counted from the start of its range: the other half is for its
#: environments, which count on from it.
MAX_TRIAL_SEED = FIRST_FRESH_SEED // 2


@dataclass(frozen=True)
class Budget:
    """What a sweep may spend, and when it is done.

    Attributes:
        steps: environment steps a trial.
        trials: trials of the sweep; the population's size for a population scheduler.
        scheduler: name in rltune.schedulers.
        searcher: name in rltune.searchers.
        perturb_every: environment steps between two decisions about a trial: the interval of
            exploits for PB2 and PBT, the first rung of ASHA.
        target: the sweep ends once a trial's metric gets here; None for never.
        time_budget: seconds after which the sweep ends; None for no limit.
        synchronous: a population waits for all its members before it decides about any.
        burn_in: environment steps of a member before which nothing is decided about it.
        quantile: share of a population that is replaced, and share that is copied.
        resample_probability: chance that PBT draws a setting anew instead of moving it.
        margin: by how much of the metric a donor must be better than whom it replaces.
    """

    steps: int = 100_000
    trials: int = 4
    scheduler: str = "pb2"
    searcher: str = "random"
    perturb_every: int = 10_000
    target: float | None = None
    time_budget: float | None = None
    synchronous: bool = False
    burn_in: int = 0
    quantile: float = 0.25
    resample_probability: float = 0.25
    margin: float = 0.0


#: Checkpoints of a sweep that play for being the best.
CANDIDATES = 5


@dataclass(frozen=True)
class ScoringBudget:
    """How long policies are scored.

    Attributes:
        episodes: whole episodes behind the score of a policy, each on a seed of its own.
        selection_episodes: whole episodes that each candidate plays for being the best.
    """

    episodes: int = 100
    selection_episodes: int = 20


@dataclass(frozen=True)
class Preset:
    """An algorithm's settings, space and budgets for one environment: one value.

    Attributes:
        settings: every setting of the algorithm, by RLlib's name; a searched one has its default.
        points: searched settings that the first trials start from, the rest of each as in
            ``settings``.
        sources: where each setting, parameter and budget entry comes from, for `rltune show`.
        notes: where the settings come from, in words.
    """

    algo: str
    env: str
    settings: Mapping[str, Any]
    space: Space
    budget: Budget
    points: tuple[Mapping[str, Any], ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""
    evaluation: ScoringBudget = ScoringBudget()


def largest(name: str, settings: Mapping[str, Any], space: Space) -> int:
    """The largest value that a whole number among the settings can have in a trial."""
    parameter = space.get(name)
    if parameter is None:
        return int(settings[name])
    choice = parameter.kind == "choice"
    return max(int(v) for v in (parameter.domain() if choice else [parameter.from_unit(1)]))


@dataclass(frozen=True)
class RunSpec:
    """The whole request of a run, resolved: what run.json holds.

    Attributes:
        job: "sweep"; "train": every trial trains the same settings on a fresh seed of its own; or
            "replay": the same for each of several arms.
        arms: of a replay, schedules by name: the searched settings by the environment step they
            hold from, ``[[env_steps, settings], ...]``, the first from 0 on.
        certificate: where a training run's evidence goes, ``{"file", "preset"}``, the latter as
            :func:`rltune.policies.certificates.contents` has it; None for nowhere.
        env_args: of the environment, as :mod:`rltune.envs.arguments` encodes them; secrets are
            placeholders.
        points: searched settings that the first trials start from.
        concurrent: trials at a time; None for as many as fit.
        memory_per_trial: bytes that Ray sets aside for a trial; 0 for none.
        max_failures: times a trial that fails is tried again from its last checkpoint.
        env_timeout: seconds that one call of a trial's environments may take; inf for no limit.
        metric: name of what is tuned, selected and scored by; mode: "max" or "min".
        env_copies: copies of the environment that may exist at any time; None for no limit.
        simulator: what steps the environments in training, "gymnasium" or "envpool".
        seed: fixes every draw of the sweep, in the driver and in each trial.
        storage: absolute path of the folder that holds runs.
        address: of a Ray cluster; None to start Ray here.
        command: the command line, without secrets.
        started_in: the folder that it was given in; empty where that is not known.
        versions: of rltune, ray, torch, gymnasium and Python.
        reading: how the policy reads observations, in words; empty where it reads them as they are.
    """

    algo: str
    env: str
    env_id: str
    settings: Mapping[str, Any]
    space: Space
    budget: Budget
    name: str
    storage: str
    job: str = "sweep"
    arms: Mapping[str, Sequence[Sequence[Any]]] = field(default_factory=dict)
    certificate: Mapping[str, Any] | None = None
    seed: int = 0
    env_args: Mapping[str, Any] = field(default_factory=dict)
    points: tuple[Mapping[str, Any], ...] = ()
    concurrent: int | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    memory_per_trial: int = 0
    max_failures: int = 2
    env_timeout: float = ENV_TIMEOUT
    env_copies: int | None = None
    evaluation: ScoringBudget = ScoringBudget()
    simulator: str = "gymnasium"
    metric: str = REWARD
    mode: str = "max"
    address: str | None = None
    imports: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    started_in: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    reading: str = ""

    @property
    def goal(self) -> Metric:
        """What is tuned, selected and scored by."""
        return Metric(self.metric, self.mode)

    def trial_seed(self, index: int) -> int:
        """The training seed of the trial of a number: the arms of a replay share theirs."""
        number = self.seed_number(index)
        drawn = int(np.random.default_rng([self.seed, 5, number]).integers(MAX_TRIAL_SEED))
        return drawn if self.job == "sweep" else FIRST_FRESH_SEED + drawn

    def seed_number(self, index: int) -> int:
        """Which of the run's seeds the trial of a number trains on."""
        return index // max(1, len(self.arms))

    def arm(self, index: int) -> str:
        """The arm that the trial of a number belongs to: they take turns, seed by seed."""
        return list(self.arms)[index % len(self.arms)]

    def due(self, index: int, env_steps: int) -> dict[str, Any]:
        """The searched settings that an arm's trial of a number has from its age on."""
        schedule = self.arms[self.arm(index)]
        return dict([settings for at, settings in schedule if at <= env_steps][-1])

    @property
    def cpus_of_a_trial(self) -> float:
        """CPUs of one trial, its environment runners' included."""
        return self.cpus_per_trial + largest("num_env_runners", self.settings, self.space)

    @property
    def copies_of_a_trial(self) -> int:
        """Copies of the environment that a trial holds at most."""
        envs = largest("num_envs_per_env_runner", self.settings, self.space)
        return envs * max(1, largest("num_env_runners", self.settings, self.space))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            **values,
            "space": self.space.to_dict(),
            "constraints": [c.text for c in self.space.constraints],
            "budget": asdict(self.budget),
            "evaluation": asdict(self.evaluation),
            "points": [dict(point) for point in self.points],
            "imports": list(self.imports),
            "command": list(self.command),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunSpec:
        """The inverse of :meth:`to_dict`.

        Raises:
            BadInput: the values are none of a request: with every entry that is wrong.
        """
        if problems := _request_problems(values):
            raise BadInput(problems)
        values = dict(values)
        constraints = tuple(Constraint.parse(text) for text in values.pop("constraints"))
        space = {name: parse_parameter(name, body) for name, body in values.pop("space").items()}
        return cls(
            space=Space(space, constraints),
            budget=Budget(**values.pop("budget")),
            evaluation=ScoringBudget(**values.pop("evaluation", {})),
            points=tuple(values.pop("points", ())),
            imports=tuple(values.pop("imports")),
            command=tuple(values.pop("command")),
            **values,
        )


#: The least that numbers of a request may be, by their place in run.json.
_LEAST = {
    "seed": 0,
    "concurrent": 1,
    "env_copies": 1,
    "memory_per_trial": 0,
    "max_failures": 0,
    "cpus_per_trial": 0,
    "gpus_per_trial": 0,
    "env_timeout": 0,
    "budget.steps": 1,
    "budget.trials": 1,
    "budget.perturb_every": 1,
    "evaluation.episodes": 1,
    "evaluation.selection_episodes": 1,
}


def _request_problems(values: Any) -> list[str]:
    """What in the contents of a run.json is not as :meth:`RunSpec.to_dict` writes it."""
    hints = {
        **get_type_hints(RunSpec),
        "space": Mapping[str, Mapping[str, Any]],
        "constraints": list[str],
        "job": Literal["sweep", "train", "replay"],
        "mode": Literal["max", "min"],
        "simulator": Literal["gymnasium", "envpool"],
        "arms": Mapping[str, list[tuple[int, Mapping[str, Any]]]],
    }
    given = {f.name for f in fields(RunSpec) if (f.default, f.default_factory) != (MISSING,) * 2}
    if found := schema.fields_problems(values, hints, frozenset(given - {"imports", "command"})):
        return found
    numbers = {place: _at(values, place) for place in _LEAST}
    return [
        f"{place} must be at least {_LEAST[place]}, got {number}"
        for place, number in numbers.items()
        if number is not None and not number >= _LEAST[place]
    ]


def _at(values: Mapping[str, Any], place: str) -> Any:
    table, _, name = place.rpartition(".")
    return (values.get(table, {}) if table else values).get(name)


def moved_seed(seed: int, by: int) -> int:
    """A seed so many further on, within its own range of training seeds."""
    first = FIRST_FRESH_SEED if seed >= FIRST_FRESH_SEED else 0
    return first + (seed - first + by) % MAX_TRIAL_SEED
