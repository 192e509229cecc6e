"""Frozen values: what a preset is and what a run was asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_type_hints

import numpy as np

from rltune import options, schema
from rltune.engine.episodes import REWARD
from rltune.environments import SEVERAL, Environment
from rltune.errors import BadInput
from rltune.metric import Metric
from rltune.options import Budget, EnvOptions, Goal, Place, Resources, ScoringBudget
from rltune.options.base import Group
from rltune.space import Constraint, Space, parse_parameter

#: Four ranges of environment seeds that never meet. They start with: training while a sweep tunes
#: (0), training with settings that are tuned already, choosing between checkpoints, evaluation.
FIRST_FRESH_SEED = 1 << 29
FIRST_SELECTION_SEED = 1 << 30
FIRST_EVALUATION_SEED = 2 << 30
#: A trial's seed lies below, counted from the start of its range: the other half is for its
#: environments, which count on from it.
MAX_TRIAL_SEED = FIRST_FRESH_SEED // 2


#: The task of a run that has a preset: policies are trained, and scored on fresh seeds. That of a
#: run with several environments is :data:`rltune.environments.SEVERAL`.
RL = "rl"
#: The algorithm of a run whose trials run a function of the user's, its ``env_id``; and of one
#: whose trials train an algorithm of RLlib's, its ``env_id``, as RLlib does.
FUNCTION, RLLIB = "function", "rllib"
#: Checkpoints of a sweep that play for being the best.
CANDIDATES = 5


@dataclass(frozen=True)
class Preset:
    """An algorithm's settings, space and budgets for one environment: one value.

    Attributes:
        settings: every setting of the algorithm, by RLlib's name; a searched one has its default.
        points: searched settings that the first trials start from, the rest of each as in
            ``settings``.
        sources: where each setting, parameter and budget entry comes from, for `rltune show`.
        notes: where the settings come from, in words.
        environments: that a trial trains in; the budget counts the steps in all of them.
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
    environments: int = 1

    @property
    def steps_per_report(self) -> int:
        """Environment steps between two reports of a trial, at least."""
        return int(self.settings["min_sample_timesteps_per_iteration"]) * self.environments

    def in_environments(self, count: int) -> Preset:
        """The same for several environments, each of which gets the steps that one had."""
        budget, total = self.budget, self.budget.total_steps
        budget = replace(
            budget,
            steps=budget.steps * count,
            perturb_every=budget.perturb_every * count,
            burn_in=budget.burn_in * count,
            total_steps=total and total * count,
        )
        return replace(self, budget=budget, environments=count)


def largest(name: str, settings: Mapping[str, Any], space: Space) -> int:
    """The largest value that a whole number among the settings can have in a trial."""
    parameter = space.get(name)
    if parameter is None:
        return int(settings[name])
    return max(int(value) for value in parameter.ends())


@dataclass(frozen=True)
class JobSpec:
    """What is done with the trials of a run: run.json holds it beside the :class:`RunSpec`.

    Attributes:
        job: "sweep"; "train": every trial trains the same settings on a fresh seed of its own; or
            "replay": the same for each of several schedules; or "landscape": settings all over the
            space, each on several seeds.
        arms: of a replay, schedules by name: the searched settings by the environment step they
            hold from, ``[[env_steps, settings], ...]``, the first from 0 on.
        certificate: where a training run's evidence goes, ``{"file", "preset"}``, the latter as
            :func:`rltune.policies.certificates.contents` has it; None for nowhere.
        seeds: of a landscape, those that each of its settings trains on: the budget's trials are
            settings times seeds.
    """

    job: Literal["sweep", "train", "replay", "landscape"] = "sweep"
    arms: Mapping[str, Sequence[Sequence[Any]]] = field(default_factory=dict)
    certificate: Mapping[str, Any] | None = None
    seeds: int = 1

    @property
    def searches(self) -> bool:
        """Whether trials differ in their settings: else these were given."""
        return self.job in ("sweep", "landscape")

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> JobSpec:
        """The inverse of :meth:`to_dict`; entries of other parts of a request are ignored.

        Raises:
            BadInput: with every entry that is wrong.
        """
        names = [f.name for f in fields(cls)]
        own = {name: values[name] for name in names if name in values}
        hints = {**get_type_hints(cls), "arms": Mapping[str, list[tuple[int, Mapping[str, Any]]]]}
        if problems := schema.fields_problems(own, hints, frozenset(names)):
            raise BadInput(problems)
        return cls(**own)


@dataclass(frozen=True)
class FormerTrial(schema.Record):
    """A trial of a former run, which this run's searcher learns from.

    Attributes:
        id: the name of its run and its own: ``first/t03``.
        settings: the values that it started with of what is searched here.
        status: "ended", "stopped" before the budget of this run, or "failed".
        scores: of its reports, by environment steps; larger is better.
        further: where several metrics are tuned, the last scores of all but the first.
        left_out: why it says nothing about this search; empty for one that is used.
    """

    id: str
    settings: Mapping[str, Any]
    seed: int
    status: Literal["ended", "stopped", "failed"]
    scores: Sequence[tuple[int, float]]
    left_out: str = ""
    further: schema.Omitted[Sequence[float]] = ()


@dataclass(frozen=True)
class Extension(schema.Record):
    """An extension of a finished run.

    Attributes:
        date: UTC, as 2026-11-27.
        budget: what the run's budget was before.
    """

    date: str
    budget: Mapping[str, Any]


@dataclass(frozen=True)
class RunSpec:
    """The whole request of a run, resolved: what run.json holds.

    Attributes:
        env_options: how the environment is made and stepped; its ``env_args`` are encoded by
            :mod:`rltune.envs.arguments`, secrets among them are placeholders, and its
            ``simulator`` is "gymnasium" or "envpool".
        points: searched settings that the first trials start from.
        former: trials of former runs, which the searcher learns from.
        extensions: of the run, the first one first.
        environments: of a run that judges settings in several of them; empty where there is one.
            ``env`` and ``env_id`` then name all of them, and ``env_options`` has no ``env_args``.
        derived: of a function's settings, what computes one from the others when a trial starts:
            an import path or a lambda's text, see :mod:`rltune.space.derived`.
        metric: name of what is tuned, selected and scored by; mode: "max" or "min".
        objective: where several metrics are tuned together, all of them as :class:`Goal` has them,
            the first one ``metric``; else empty.
        seed: fixes every draw of the sweep, in the driver and in each trial.
        storage: absolute path of the folder that holds runs.
        callbacks: names of classes that are notified of the run, of each of its parts.
        log: experiment trackers that the run is logged with.
        log_all: whether every number of a trial's results is drawn.
        report: whether report.html is written at its end.
        command: the command line, without secrets.
        started_in: the folder that it was given in; empty where that is not known.
        versions: of rltune, ray, torch, gymnasium and Python.
        reading: how the policy reads observations, in words; empty where it reads them as they are.
        stepping: how the copies of the environment are stepped, in words; empty where several
            processes were not in question.
    """

    algo: str
    env: str
    env_id: str
    settings: Mapping[str, Any]
    space: Space
    budget: Budget
    name: str
    storage: str
    seed: int = 0
    env_options: EnvOptions = EnvOptions(simulator="gymnasium")
    points: tuple[Mapping[str, Any], ...] = ()
    resources: Resources = Resources()
    evaluation: ScoringBudget = ScoringBudget()
    metric: str = REWARD
    mode: str = "max"
    objective: tuple[str, ...] = ()
    callbacks: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    log_all: bool = False
    report: bool = True
    command: tuple[str, ...] = ()
    started_in: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    reading: str = ""
    stepping: str = ""
    former: tuple[FormerTrial, ...] = ()
    extensions: tuple[Extension, ...] = ()
    derived: Mapping[str, str] = field(default_factory=dict)
    environments: tuple[Environment, ...] = ()

    @property
    def task(self) -> str:
        """What is tuned, by its name in :data:`rltune.tasks.TASKS`."""
        if self.algo in (FUNCTION, RLLIB):
            return self.algo
        return SEVERAL if self.environments else RL

    @property
    def plays(self) -> bool:
        """Whether trials train policies of rltune's, which can be played."""
        return self.algo not in (FUNCTION, RLLIB)

    @property
    def goal(self) -> Metric:
        """What is tuned, selected and scored by."""
        return Metric(self.metric, self.mode)

    def alone(self, environment: Environment) -> RunSpec:
        """The same request in one of its environments only."""
        made = replace(
            self.env_options,
            env_args=environment.env_args,
            simulator=environment.simulator,
            env_processes=environment.env_processes,
        )
        return replace(
            self,
            env=environment.env,
            env_id=environment.env_id,
            env_options=made,
            environments=(),
            metric=REWARD,
        )

    @property
    def singles(self) -> tuple[RunSpec, ...]:
        """The request in each of its environments: itself where it has one."""
        return tuple(map(self.alone, self.environments)) or (self,)

    @property
    def goals(self) -> tuple[Metric, ...]:
        """Every metric that is tuned, :attr:`goal` first."""
        return tuple(map(Metric.parse, self.objective)) or (self.goal,)

    def further_scores(self, values: Mapping[str, Any]) -> tuple[float | None, ...]:
        """The scores of all goals but the first, from metrics by name; empty where there is one."""
        return tuple(goal.score_of(values) for goal in self.goals[1:])

    def trial_seed(self, number: int) -> int:
        """Training seed number ``number`` of the run, in [0, MAX_TRIAL_SEED)."""
        return int(np.random.default_rng([self.seed, 5, number]).integers(MAX_TRIAL_SEED))

    @property
    def cpus_of_a_trial(self) -> float:
        """CPUs of one trial, its environment runners' included."""
        own = self.resources.cpus_per_trial
        if not self.plays:
            return own
        return own + largest("num_env_runners", self.settings, self.space)

    @property
    def copies_of_a_trial(self) -> int:
        """Copies of the environment that a trial holds at most."""
        envs = largest("num_envs_per_env_runner", self.settings, self.space)
        return envs * max(1, largest("num_env_runners", self.settings, self.space))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: flat, the options of a group beside the other entries."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _FLAT}
        for name in _FLAT:
            values |= vars(getattr(self, name))
        values |= {
            "space": self.space.to_dict(),
            "constraints": [c.text for c in self.space.constraints],
            "budget": asdict(self.budget),
            "evaluation": asdict(self.evaluation),
            "points": [dict(point) for point in self.points],
            "former": [trial.to_dict() for trial in self.former],
            "extensions": [extension.to_dict() for extension in self.extensions],
            "environments": [environment.to_dict() for environment in self.environments],
            "imports": list(self.env_options.imports),
            "objective": list(self.objective),
            "callbacks": list(self.callbacks),
            "log": list(self.log),
            "command": list(self.command),
        }
        order = {name: place for place, name in enumerate(_ORDER)}
        return dict(sorted(values.items(), key=lambda item: order.get(item[0], len(order))))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunSpec:
        """The inverse of :meth:`to_dict`.

        Raises:
            BadInput: the values are none of a request: with every entry that is wrong.
        """
        values = {name: body for name, body in values.items() if name not in _OF_JOB}
        if problems := _request_problems(values):
            raise BadInput(problems)
        constraints = tuple(Constraint.parse(text) for text in values.pop("constraints"))
        space = {name: parse_parameter(name, body) for name, body in values.pop("space").items()}
        # What there was before there was a choice.
        values = {"simulator": "gymnasium", "batch": "off", **values}
        groups: dict[str, Any] = {
            name: kind(**_taken(values, kind)) for name, kind in _FLAT.items()
        }
        return cls(
            space=Space(space, constraints),
            budget=Budget(**values.pop("budget")),
            evaluation=ScoringBudget(**values.pop("evaluation", {})),
            points=tuple(values.pop("points", ())),
            former=tuple(map(FormerTrial.from_dict, values.pop("former", ()))),
            extensions=tuple(map(Extension.from_dict, values.pop("extensions", ()))),
            environments=tuple(map(Environment.from_dict, values.pop("environments", ()))),
            objective=tuple(values.pop("objective", ())),
            callbacks=tuple(values.pop("callbacks", ())),
            log=tuple(values.pop("log", ())),
            command=tuple(values.pop("command")),
            **groups,
            **values,
        )


#: What of a run.json is the job's.
_OF_JOB = {f.name for f in fields(JobSpec)}
#: Groups whose options are entries of run.json by themselves, and those that are tables in it.
_FLAT: dict[str, type[Group]] = {"env_options": EnvOptions, "resources": Resources}
_TABLES: dict[str, type[Group]] = {"budget": Budget, "evaluation": ScoringBudget}
#: The order of run.json since its first version; what is not here follows.
_ORDER = (
    *("algo", "env", "env_id", "settings", "space", "budget", "name", "storage"),
    *("seed", "env_args", "points", "concurrent", "cpus_per_trial"),
    *("gpus_per_trial", "memory_per_trial", "placement", "max_failures", "env_timeout"),
    "env_copies",
    "env_processes",
    *("evaluation", "simulator", "metric", "mode", "objective"),
    *("address", "imports", "callbacks"),
    *("batch", "log", "log_all", "report", "command", "started_in"),
    *("versions", "reading", "stepping"),
)


def _taken(values: dict[str, Any], group: type[Group]) -> dict[str, Any]:
    """Takes a group's options out of the entries of run.json."""
    return {name: values.pop(name) for name in options.options_of(group) if name in values}


def _request_problems(values: Any) -> list[str]:
    """What in the contents of a run.json is not as :meth:`RunSpec.to_dict` writes it."""
    own = {f.name: f for f in fields(RunSpec) if f.name not in _FLAT}
    hints = {name: hint for name, hint in get_type_hints(RunSpec).items() if name in own}
    for group in _FLAT.values():
        kinds = get_type_hints(group)
        hints |= {name: kinds[name] for name in options.options_of(group)}
    hints |= {
        "space": Mapping[str, Mapping[str, Any]],
        "constraints": list[str],
        "simulator": Literal["gymnasium", "envpool"],
    }
    missing = (MISSING, MISSING)
    required = {name for name, f in own.items() if (f.default, f.default_factory) == missing}
    given = hints.keys() - required - {"constraints", "imports", "command"}
    if found := schema.fields_problems(values, hints, frozenset(given)):
        return found
    names = [one["name"] for one in values.get("environments", ())]
    if len({*names}) < len(names):
        return [f"environments: two have the same name: {', '.join(names)}"]
    checked = [(group, "", values) for group in (*_FLAT.values(), Goal, Place)]
    checked += [(group, f"{table}.", values.get(table, {})) for table, group in _TABLES.items()]
    found = [
        place + problem
        for group, place, entries in checked
        for problem in options.problems(group, entries).values()
    ]
    return found or _objective_problems(values)


def _objective_problems(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with the objectives of a run.json beside its metric."""
    objective = values.get("objective", ())
    metric = Metric(values.get("metric", REWARD), values.get("mode", "max"))
    if not objective or (len(objective) > 1 and objective[0] == metric.objective):
        return []
    return [f"objective: {list(objective)} must begin with {metric.objective}, and have others"]


def moved_seed(seed: int, by: int) -> int:
    """A seed so many further on, within its own range of training seeds."""
    first = FIRST_FRESH_SEED if seed >= FIRST_FRESH_SEED else 0
    return first + (seed - first + by) % MAX_TRIAL_SEED
