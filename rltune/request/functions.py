"""The request of a search over a function, or over a class trainable."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rltune import schedulers, searchers
from rltune.catalog import sources
from rltune.catalog.environments import told
from rltune.catalog.presets import points_problems, points_within, untried
from rltune.envs import places
from rltune.errors import BadInput, did_you_mean, keyword, unknown
from rltune.metric import Metric
from rltune.options import OF_FUNCTIONS, OPTIONS, UNTIL_RETURN, Budget, Resources
from rltune.request import capacity, objectives, secrets
from rltune.request.algorithms import algorithm_place, changeable, check_algorithm, with_env
from rltune.request.asked import Request
from rltune.request.former import with_former
from rltune.request.metrics import RESERVED
from rltune.request.resolve import versions
from rltune.runs.names import check_name, default_name
from rltune.runs.remote import location
from rltune.space import Searched, Space, space_of
from rltune.space.nesting import SEPARATOR
from rltune.spec import FUNCTION, RLLIB, RunSpec

#: The key of a trial's config under which rltune tells its trainable what is not a setting.
OWN = "rltune"
#: Names in a trial's config that no setting may have.
TAKEN = frozenset({OWN, "seed", "exploit"})
#: Where nothing else is asked for.
DEFAULTS = {"scheduler": "fifo", "trials": 10}
#: Schedulers that need not know how long a trial trains.
ENDLESS = ("fifo", "median")
#: Decisions about a trial, where it is not said how often.
DECISIONS = 10

#: The base class of RLlib's algorithms.
ALGORITHM = "ray.rllib.algorithms.algorithm.Algorithm"

Function = str | Callable[..., Any]
#: What :func:`rltune.space.space_of` reads.
SpaceLike = Mapping[str, Any] | Space | Searched | Path | str


def function_spec(
    function: Function, space: SpaceLike, *, command: Sequence[str] = (), **options: Any
) -> RunSpec:
    """The request of a search over the settings of a function, a class or an algorithm.

    Args:
        function: ``module:name``, ``file.py:name``, the object where it can be imported, or the
            name of an algorithm of RLlib's.
        space: see :func:`rltune.space.space_of`.
        command: the command line that it comes from.
        options: by name, :data:`rltune.options.OF_FUNCTIONS`, see :func:`rltune.tune`.

    Raises:
        BadInput: with what is wrong.
    """
    if wrong := [str(unknown("option", n, OF_FUNCTIONS)) for n in _others(options)]:
        raise BadInput(wrong)
    asked = Request.of(_with_metric(options))
    place = place_of(function)
    found = check_found(place, "the request")
    algorithm = is_algorithm(found)
    searched = _searched(space, asked.start.settings, algorithm)
    if algorithm and asked.resources.gpus_per_trial:
        searched = _with_gpus(searched, asked.resources.gpus_per_trial)
    goals = tuple(map(Metric.parse, asked.goal.objective))
    _check_names(searched, [goal.name for goal in goals] or [asked.goal.metric])
    if algorithm:
        check_algorithm(place, searched)
    wanted = objectives.with_defaults(asked.goal, None, asked.budget)
    budget = _budget(wanted, ends=not isinstance(found, type))
    schedulers.check_objectives(budget, goals)
    if algorithm and schedulers.row(budget.scheduler).population and not changeable(searched.space):
        raise BadInput(
            f"{budget.scheduler} has nothing to change while it trains: every searched setting "
            f"shapes the network. Search another, or use {keyword(scheduler='fifo')}"
        )
    points = _points(asked.start.points, searched.space, budget.trials)
    storage = location.storage(asked.place.storage)
    if asked.place.name is not None:
        check_name(asked.place.name)
    settings = searched.middle()
    title = places.split(place)[1]
    if algorithm and "env" in settings:
        title = f"{title}-{settings['env']}"
    spec = RunSpec(
        algo=RLLIB if algorithm else FUNCTION,
        env=title,
        env_id=place,
        settings=settings,
        space=searched.space,
        derived=searched.derived,
        budget=budget,
        name=asked.place.name or default_name("tune", title, storage),
        storage=storage,
        seed=asked.place.seed,
        points=points,
        resources=asked.resources,
        metric=asked.goal.metric,
        mode=asked.goal.mode,
        objective=tuple(asked.goal.objective),
        callbacks=tuple(map(places.absolute, asked.place.callbacks)),
        log=tuple(asked.place.log),
        log_all=asked.place.log_all,
        report=asked.place.report,
        command=tuple(secrets.redact(command)),
        started_in=str(Path.cwd()),
        versions=versions("gymnasium") | sources.digests(place),
    )
    spec = with_former(spec, asked.start.former)
    capacity.check_fits_here(spec)
    searchers.build(spec)
    return spec


def _others(options: Mapping[str, Any]) -> list[str]:
    return [name for name in options if name not in (*OF_FUNCTIONS, "population")]


def place_of(function: Function) -> str:
    """The import path of a function or a class, as ``module:name``; or of RLlib's, of a name.

    Raises:
        BadInput: there is none; says how to get one.
    """
    if isinstance(function, str) and places.is_file(function):
        raise BadInput(f"{function}: name the function in it as well, as {function}:train")
    if isinstance(function, str) and ":" not in function:
        return algorithm_place(function)
    _check_unwrapped(function)
    try:
        place = places.absolute(function) if isinstance(function, str) else None
        place = place or places.place_of(function)
    except ValueError as error:
        raise BadInput(f"the function: {error}") from error
    return place


def _check_unwrapped(function: Any) -> None:
    """Refuses what carries more than a function that can be imported."""
    if isinstance(function, partial):
        raise BadInput(
            "a functools.partial has no import path: give the function itself, and its arguments "
            "as `settings`"
        )
    if getattr(function, "__qualname__", "").startswith("with_parameters."):
        raise BadInput(
            "what tune.with_parameters returns has no import path: give the function itself, which "
            "loads its data, and small values as `settings`"
        )
    if hasattr(function, "_resources"):
        raise BadInput(
            "the resources of tune.with_resources: give the function itself, and `cpus_per_trial`, "
            "`gpus_per_trial` or `memory_per_trial`"
        )


def check_found(place: str, where: str) -> Any:
    """What is found at an import path; checks that it can be a trial.

    Raises:
        BadInput: it cannot be imported, or is neither a function nor a class trainable.
    """
    try:
        found = places.find(place)
    except AttributeError as error:
        if hint := _missing(place):
            raise BadInput(hint) from error
        raise BadInput(f"{where}: {place} cannot be imported: {told(error)}") from error
    except (Exception, SystemExit) as error:  # a module may raise anything
        raise BadInput(f"{where}: {place} cannot be imported: {told(error)}") from error
    if isinstance(found, type):
        if not all(callable(getattr(found, name, None)) for name in ("setup", "step")):
            raise BadInput(f"{place} is no ray.tune.Trainable: it has no setup and step")
        return found
    if not callable(found):
        raise BadInput(f"{place} is {found!r}, neither a function nor a class")
    _check_called(place, found)
    return found


def _missing(place: str) -> str:
    """What is said where a module is there and lacks the name; empty where it has it."""
    module, name = places.split(place)
    there = vars(places.load(module))
    if name.split(".")[0] in there:
        return ""
    own = [each for each, value in there.items() if callable(value) and not each.startswith("_")]
    return f"{module} has no {name!r}.{did_you_mean(name, own)}"


def _check_called(place: str, found: Callable[..., Any]) -> None:
    """Refuses what a call with a dict would not run."""
    name = places.split(place)[1]
    for called in (found, type(found).__call__):
        if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
            raise BadInput(f"{place} is asynchronous: give a function that calls asyncio.run")
        if inspect.isgeneratorfunction(called):
            raise BadInput(f"{place} is a generator: call rltune.report(metrics), do not yield")
    try:
        inspect.signature(found).bind({})
    except TypeError as error:
        raise BadInput(f"{place} is called as {name}(config), with a dict: {error}") from error


def is_algorithm(found: Any) -> bool:
    """Whether something is an algorithm of RLlib's, or a subclass of one. RLlib is not imported."""
    kinds = found.__mro__ if isinstance(found, type) else ()
    return any(f"{k.__module__}.{k.__name__}" == ALGORITHM for k in kinds)


def _searched(space: SpaceLike, settings: Mapping[str, Any], algorithm: bool) -> Searched:
    """What is searched, fixed and derived."""
    if algorithm:
        settings = with_env(settings)
        space = with_env(space) if isinstance(space, Mapping) else space
    searched = space_of(space).with_settings(settings)
    if not searched.space:
        raise BadInput("space names no setting to search, as in {'lr': {'log': [1e-5, 1e-2]}}")
    searched.check()
    return searched


def _with_gpus(searched: Searched, gpus: float) -> Searched:
    """The GPUs of a trial, shared out among its learners; BadInput where they get others."""
    settings = searched.middle()
    each = gpus / max(1, settings.get("num_learners", 0))
    given = settings.get("num_gpus_per_learner", each)
    if given != each:
        raise BadInput(
            f"gpus_per_trial {gpus:g} is {each:g} for each learner, and num_gpus_per_learner is "
            f"{given:g}: leave one of them out"
        )
    Resources(gpus_per_trial=each)  # checks it
    if "num_gpus_per_learner" in settings:
        return searched
    return searched.with_settings({"num_gpus_per_learner": each})


def _with_metric(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without a metric that is not given; BadInput where nothing is to be tuned for."""
    given = {n: value for n, value in options.items() if n != "metric" or value is not None}
    if "metric" not in given and not given.get("objective"):
        raise BadInput(
            "metric: say which number of the reports is tuned, as `metric=loss`, or give "
            "`objective`"
        )
    return given


def _check_names(searched: Searched, metrics: Sequence[str]) -> None:
    names = [*(("space", name) for name in (*searched.space, *searched.derived))]
    names += [("settings", name) for name in searched.settings]
    problems = [
        f"{place} {name}: the name is taken; use another"
        for place, name in names
        if name.split(SEPARATOR)[0] in TAKEN
    ]
    problems += [
        f"metric {metric}: rltune reports that itself; use another name"
        for metric in metrics
        if metric in RESERVED
    ]
    if problems:
        raise BadInput(problems)


def _points(
    points: Sequence[Mapping[str, Any]], space: Space, trials: int
) -> tuple[Mapping[str, Any], ...]:
    """Points by flat names. Raises BadInput for values that are not searched, or too many."""
    named = [
        {k: v for name, value in point.items() for k, v in _flat(name, value, space)}
        for point in points
    ]
    if problems := points_problems(named, space) or untried(named, trials):
        raise BadInput(problems)
    return points_within(space, named)


def _flat(name: str, value: Any, space: Space) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and name not in space:
        for inner, each in value.items():
            yield from _flat(f"{name}{SEPARATOR}{inner}", each, space)
    else:
        yield name, value


def _budget(asked: Mapping[str, Any], ends: bool) -> Budget:
    """What a search may spend; an interval is a share of a trial's steps.

    Args:
        ends: whether a trial may be over by itself.

    Raises:
        BadInput: a value is wrong, or a trial would never end.
    """
    values = {"searcher": OPTIONS["searcher"].default, **DEFAULTS, **asked}
    scheduler, steps = values["scheduler"], values.get("steps")
    searchers.check(values["searcher"])
    schedulers.row(scheduler)
    if wrong := schedulers.unused(scheduler, asked):
        raise BadInput(wrong)
    if steps is None and scheduler not in ENDLESS:
        raise BadInput(
            f"steps: {scheduler} decides about trials by their age, and needs to know how many "
            "reports one makes, or env_steps it counts: give `steps`, or "
            f"{keyword(scheduler='fifo')}"
        )
    if steps is None and not ends and not {"target", "time_budget"} & asked.keys():
        raise BadInput(
            "steps: a class trainable trains without end: give `steps`, the number of its reports "
            "(of an algorithm, of environment steps), or `target` or `time_budget`"
        )
    every = max(1, steps // DECISIONS) if isinstance(steps, int) else 1
    budget = Budget(**{"steps": UNTIL_RETURN, "perturb_every": every, **values})
    schedulers.check_seeds(budget)
    return budget
