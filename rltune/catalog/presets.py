"""A name -> preset, environment, algorithm. Wrong names are answered with the nearest right one."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from rltune import envs, options
from rltune.catalog.algorithms import ALGORITHMS, Algorithm, algorithm
from rltune.catalog.environments import environment, newer_version
from rltune.catalog.probe import has_images
from rltune.envs import EnvInfo
from rltune.errors import BadInput, did_you_mean, keyword, warn_once
from rltune.options import Budget, Group, ScoringBudget
from rltune.space import Constraint, Parameter, Space, parse_parameter
from rltune.spec import Preset
from rltune.toml_file import TomlFile

__all__ = ["environment", "has_images", "newer_version", "preset"]

#: Name of the preset for observations that are images, of any environment.
IMAGE_PRESET = "pixels"

_TABLES = ("budget", "evaluation", "settings", "space")
_TOP_LEVEL = ("env", "constraints", "notes", "points", *_TABLES)


# --- presets ----------------------------------------------------------------------------------


def preset_names() -> list[tuple[str, str]]:
    """(algorithm, environment) of every preset that ships, those for many environments left out."""
    general = {"default", IMAGE_PRESET, *(spec.family for spec in envs.INFOS.values())}
    return sorted(
        (algo, name) for algo in ALGORITHMS for name in _files(algo) if name not in general
    )


def _files(algo: str) -> set[str]:
    """Names of all presets of an algorithm."""
    found = (file.name for file in (files("rltune.presets") / algo).iterdir())
    return {name.removesuffix(".toml") for name in found if name.endswith(".toml")}


def preset(
    algo_name: str,
    env: EnvInfo,
    path: str | None = None,
    env_args: Mapping[str, Any] | None = None,
    images: bool | None = None,
) -> Preset:
    """The preset of an algorithm for an environment.

    Each of these that there is goes over those before it: the algorithm's default.toml,
    pixels.toml where observations are images, that of the environment's family, the
    environment's own, and a file of the user's. A later [space] takes the place of an earlier
    one; settings and budget are taken over key by key, and a setting given a value is searched
    no more.

    Args:
        path: a preset file of the user's.
        env_args: of the environment, which may have to be made to see what its observations are.
        images: whether they are images; None to find out.

    Raises:
        BadInput: with every problem of every file, each with its line.
    """
    algo = algorithm(algo_name)
    shipped = _files(algo.name)
    images = has_images(env, env_args) if images is None else images
    wanted = ["default", *([IMAGE_PRESET] if images else []), env.family, env.name]
    read = [_shipped(algo.name, name) for name in wanted if name in shipped]
    if path is not None:
        own = TomlFile.read(Path(path), path, "preset")
        if (other := own.tables.get("env", env.name)) not in (env.name, env.id):
            warn_once(f"{path} is a preset of {other}, and is used for {env.name}")
        read.append(own)
    merged = Preset(algo.name, env.name, {}, Space(), Budget())
    for file in read:
        merged = _merge(merged, file, algo)
    if problems := [p for file in read for p in file.problems]:
        raise BadInput(problems)
    if merged.budget.target is None and env.threshold is not None:
        merged = replace(merged, budget=replace(merged.budget, target=env.threshold))
    return complete(merged)


def shipped_path(algo: str, name: str) -> Path:
    """The file of a preset that ships."""
    return Path(str(files("rltune.presets") / algo / f"{name}.toml"))


def landscapes() -> list[tuple[str, str]]:
    """(algorithm, environment) of every landscape that ships, see rltune.runs.landscape."""
    return [(algo, env) for algo, env in preset_names() if landscape_path(algo, env).is_file()]


def landscape_path(algo: str, name: str) -> Path:
    """The table of a landscape that ships, beside its preset."""
    return shipped_path(algo, name).with_suffix(".landscape.csv.gz")


def _shipped(algo: str, name: str) -> TomlFile:
    return TomlFile.read(shipped_path(algo, name), f"presets/{algo}/{name}.toml", "preset")


def _merge(base: Preset, file: TomlFile, algo: Algorithm) -> Preset:
    for key in file.tables:
        if key not in _TOP_LEVEL:
            file.complain(key, f"unknown key {key!r}.{did_you_mean(key, _TOP_LEVEL)}")
    settings = file.table("settings")
    for name, problem in algo.problems(settings).items():
        file.complain(["settings", name], f"{name}: {problem}")
    budget = _options(file, "budget", Budget)
    scoring = _options(file, "evaluation", ScoringBudget)
    parameters = _parameters(file, algo)
    constraints = _constraints(file) or base.space.constraints
    inherited = {name: p for name, p in base.space.items() if name not in settings}
    space = Space(parameters or inherited, constraints)
    notes = file.tables.get("notes", base.notes)
    if not isinstance(notes, str):
        file.complain("notes", f"notes must be text, got {notes!r}")
    named = [*settings, *parameters, *(f"budget.{key}" for key in budget)]
    named += [f"evaluation.{key}" for key in scoring]
    named += ["points"] if "points" in file.tables else []
    merged = replace(
        base,
        settings={**base.settings, **base.space.defaults(), **settings},
        space=space,
        budget=replace(base.budget, **budget),
        evaluation=replace(base.evaluation, **scoring),
        points=_points(file, space) or points_within(space, base.points),
        sources={**base.sources, **dict.fromkeys(named, file.label)},
        notes=" ".join(str(notes).split()),
    )
    _check_searched(file, algo, merged, parameters)
    if "steps" in budget and "perturb_every" not in budget:
        every = interval_within(merged, base.budget, budget["steps"])
        sources = dict(merged.sources)
        if every != base.budget.perturb_every:
            sources["budget.perturb_every"] = f"steps of {file.label}"
        merged = replace(
            merged, budget=replace(merged.budget, perturb_every=every), sources=sources
        )
    return merged


def _check_searched(
    file: TomlFile, algo: Algorithm, merged: Preset, searched: Mapping[str, Parameter]
) -> None:
    """Notes what of a file's [space] would be ignored.

    Its [settings] may have no effect: a file that rltune writes has a value for each.
    """
    settings = file.table("settings")
    for name, parameter in searched.items():
        if name in settings and not _starts_at(parameter, settings[name]):
            file.complain(
                ["settings", name],
                f"{name} = {settings[name]!r} contradicts its range in [space]: a setting is fixed "
                "or searched, give one of them",
            )
        for problem in _idle(algo, [name], merged.settings, searched):
            file.complain(["space", name], problem)


def _starts_at(searched: Parameter, value: Any) -> bool:
    """Whether a search starts at a value that is given beside it, as in files that rltune writes.

    What it wrote may have been rounded into the range.
    """
    start = value if searched.default is None else searched.default
    if isinstance(start, int | float) and isinstance(value, int | float):
        return math.isclose(start, value, rel_tol=1e-6) and searched.contains(start)
    return bool(start == value) and searched.contains(start)


def interval_within(preset: Preset, budget: Budget, steps: int) -> int:
    """An interval between decisions that keeps its share of a trial's steps where these are fewer.

    A scheduler would decide once at the end else, or never. None is shorter than the steps between
    two reports.

    Args:
        preset: whose reports these are.
        budget: with the interval, and the steps that it was made for.
    """
    if steps >= budget.steps:
        return budget.perturb_every
    every = max(1, preset.steps_per_report, budget.perturb_every * steps // budget.steps)
    return min(every, budget.perturb_every)


def _points(file: TomlFile, space: Space) -> tuple[Mapping[str, Any], ...]:
    points = file.tables.get("points", [])
    problems = points_problems(points, space)
    for problem in problems:
        file.complain("points", problem)
    return () if problems else tuple(points)


def _options(file: TomlFile, table: str, group: type[Group]) -> dict[str, Any]:
    """The entries of a table that are right; what is wrong with the others is noted."""
    known, good = options.options_of(group), {}
    for key, value in file.table(table).items():
        if key not in known:
            file.complain([table, key], f"unknown {table} {key!r}.{did_you_mean(key, known)}")
        elif wanted := known[key].wanted_type(value):
            file.complain([table, key], f"{table} {key}: expected {wanted}, got {value!r}")
        elif problem := known[key].problem(value):
            file.complain([table, key], problem)
        else:
            good[key] = value
    return good


def points_within(
    searched: Container[str], points: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    """Points that speak of nothing but what is still searched."""
    return tuple({name: point[name] for name in point if name in searched} for point in points)


def points_problems(points: object, space: Space) -> list[str]:
    """What is wrong with the points that the first trials start from."""
    if not isinstance(points, list | tuple) or not all(isinstance(p, Mapping) for p in points):
        return ["points must be a list of tables: points = [{ lr = 1e-3 }]"]
    problems = []
    for number, point in enumerate(points, 1):
        for name, value in point.items():
            if name not in space:
                problems.append(
                    f"point {number}: {name!r} is not searched.{did_you_mean(name, space)}"
                )
            elif not space[name].contains(value):
                problems.append(f"point {number}: {name} = {value!r} lies outside {space[name]}")
    return problems


def untried(points: Sequence[object], trials: int) -> list[str]:
    """What is wrong with more points than a sweep has trials: the last ones would be ignored."""
    if len(points) <= trials:
        return []
    return [
        f"points: {len(points)} are given, and the sweep has {trials} "
        f"{'trial' if trials == 1 else 'trials'}: {keyword(trials=len(points))} tries them all"
    ]


def _parameters(file: TomlFile, algo: Algorithm) -> dict[str, Parameter]:
    good = {}
    for name, body in file.table("space").items():
        try:
            good[name] = parameter(algo, name, body)
        except BadInput as error:
            for problem in error.problems:
                file.complain(["space", name], problem)
    return good


def parameter(algo: Algorithm, name: str, body: object) -> Parameter:
    """A searched setting of an algorithm, its whole domain checked against the setting.

    Raises:
        BadInput: with every problem, each starting with the setting's name.
    """
    if name not in algo.settings:
        raise BadInput(f"{name}: {algo.unknown(name)}")
    parsed = parse_parameter(name, body)
    found = [algo.settings[name].problem(value) for value in parsed.ends()]
    if problems := [f"{name}: {problem}" for problem in dict.fromkeys(found) if problem]:
        raise BadInput(problems)
    return parsed


def _constraints(file: TomlFile) -> tuple[Constraint, ...]:
    texts = file.tables.get("constraints", [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        file.complain("constraints", "constraints must be a list of texts like 'a <= b'")
        return ()
    good = []
    for text in texts:
        try:
            good.append(Constraint.parse(text))
        except BadInput as error:
            file.complain("constraints", str(error))
    return tuple(good)


def complete(preset: Preset) -> Preset:
    """A preset with one value for every setting, its algorithm's constraints added, checked.

    Raises:
        BadInput: the defaults, or every random configuration, break a constraint.
    """
    algo = algorithm(preset.algo)
    constraints = tuple(dict.fromkeys((*algo.constraints, *preset.space.constraints)))
    problems = [
        f"constraint {c.text!r}: {name}: {algo.unknown(name)}"
        for c in constraints
        for name in sorted(c.names())
        if name not in algo.settings
    ]
    if problems:
        raise BadInput(problems)
    space = Space(preset.space.parameters, constraints)
    settings = {**preset.settings, **space.defaults()}
    # A range of the user's may leave out the preset's own value: the search starts in its middle.
    settings |= {n: p.from_unit(0.5) for n, p in space.items() if not p.contains(settings[n])}
    if problems := space.broken(settings):
        raise BadInput([f"{preset.algo} {preset.env}: {problem}" for problem in problems])
    space.sample(np.random.default_rng(0), settings)
    return replace(preset, settings=settings, space=space)


def fixed_and_searched(settings: Mapping[str, Any], space: Mapping[str, Any]) -> list[str]:
    """Settings that are given a value and a range: one of the two would be ignored."""
    return [
        f"{name} is in settings and in space: a setting is fixed or searched, give one of them"
        for name in settings
        if name in space
    ]


def _idle(
    algo: Algorithm,
    names: Sequence[str],
    settings: Mapping[str, Any],
    searched: Container[str],
) -> list[str]:
    """Settings that were asked for and would do nothing, as others switch off what they are of."""
    found = []
    for name in names:
        other, value = (algo.settings[name].idle if name in algo.settings else None) or ("", None)
        if other and other not in searched and settings.get(other) == value:
            found.append(
                f"{name} has no effect with {other} = {value}: change that too, or leave it out"
            )
    return found


def override(
    preset: Preset,
    settings: Mapping[str, Any],
    space: Mapping[str, Any],
    budget: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]] = (),
    evaluation: Mapping[str, int] | None = None,
) -> Preset:
    """A preset with settings fixed, parameters searched, points and budget entries replaced.

    A setting given a value is searched no more.

    Args:
        budget: entries to replace; evaluation: those of the scoring budget.

    Raises:
        BadInput: with every problem of every override; or a rate is at zero before the budget ends.
    """
    algo = algorithm(preset.algo)
    scoring = evaluation or {}
    problems = [f"settings {name}: {p}" for name, p in algo.problems(settings).items()]
    problems += fixed_and_searched(settings, space)
    parameters = {name: p for name, p in preset.space.items() if name not in settings}
    for name, body in space.items():
        try:
            parameters[name] = parameter(algo, name, body)
        except BadInput as error:
            problems += [f"space {problem}" for problem in error.problems]
    changed = [name for name in settings if settings[name] != preset.settings.get(name)]
    problems += _idle(algo, [*changed, *space], {**preset.settings, **settings}, parameters)
    problems += points_problems(points, Space(parameters))
    for group, entries in ((Budget, budget), (ScoringBudget, scoring)):
        problems += options.problems(group, entries).values()
    if problems:
        raise BadInput(problems)
    sources = {
        **dict.fromkeys(settings, "settings"),
        **dict.fromkeys(space, "space"),
        **{f"budget.{key}": "option" for key in budget},
        **{f"evaluation.{key}": "option" for key in scoring},
        **({"points": "option"} if points else {}),
    }
    asked = complete(
        replace(
            preset,
            settings={**preset.settings, **settings},
            space=Space(parameters, preset.space.constraints),
            budget=replace(preset.budget, **budget),
            evaluation=replace(preset.evaluation, **scoring),
            points=points_within(parameters, points or preset.points),
            sources={**preset.sources, **sources},
        )
    )
    if problems := untried(points, asked.budget.trials):
        raise BadInput(problems)
    # The clock of a schedule is that of its environment.
    if problems := spent(algo, asked.settings, asked.budget.steps // asked.environments):
        raise BadInput([f"{preset.algo} {preset.env}: {problem}" for problem in problems])
    return asked


def spent(algo: Algorithm, settings: Mapping[str, Any], steps: int) -> list[str]:
    """Rates that are at zero before the budget ends, as where ``steps`` asks for more of them."""
    problems = []
    for name, value in settings.items():
        end = algo.settings[name].zero_from(value)
        if end < steps:
            stretched = [[int(at * steps / end), rate] for at, rate in value]
            problems.append(
                f"{name} is 0 from step {end:,} on, and {steps:,} steps are asked for: the rest "
                f"would teach nothing. {keyword(settings={name: stretched})} stretches it"
            )
    return problems
