"""From what a user asks for to a RunSpec, every problem answered before anything starts."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym

from rltune import catalog, envs, schedulers, searchers
from rltune._version import __version__
from rltune.catalog import sources
from rltune.catalog.algorithms import algorithm
from rltune.catalog.presets import untried
from rltune.catalog.probe import Probe
from rltune.engine.metric_names import NORMALIZED, REWARD
from rltune.envs import EnvInfo, pool
from rltune.errors import BadInput, keyword
from rltune.metric import Metric
from rltune.options import Goal
from rltune.policies import certificates
from rltune.request import batches, capacity, objectives, secrets, several
from rltune.request.asked import Request
from rltune.request.cpu_batches import in_batches
from rltune.request.env_copies import fewer_at_a_time, within
from rltune.request.env_processes import in_processes
from rltune.request.former import with_former
from rltune.request.schedule import check_used, with_interval
from rltune.request.shares import EnvsLike, Share, looked_at, names
from rltune.runs.names import check_name, default_name
from rltune.runs.remote import location
from rltune.runs.remote.copy import file_here
from rltune.space import Space
from rltune.spec import JobSpec, Preset, RunSpec, largest

#: Checkpoints of a trial that is only trained: the points of its greedy policy's curve.
CHECKPOINTS = 20


def make_request(
    algo: str,
    env: EnvsLike,
    *,
    job: Literal["sweep", "train", "landscape"] = "sweep",
    seeds: int = 1,
    certify: bool = False,
    command: Sequence[str] = (),
    **options: Any,
) -> tuple[RunSpec, JobSpec]:
    """A whole request, resolved and checked.

    Args:
        env: the environment, or several: a text with commas, or a list.
        job: "sweep", "train" or "landscape"; see :class:`rltune.spec.JobSpec`.
        seeds: of each setting of a landscape.
        certify: whether a training run writes the certificate of its preset.
        command: the command line that it comes from.
        options: by name, see :mod:`rltune.options` and :func:`rltune.sweep`.

    Raises:
        BadInput: with every problem that was found.
    """
    algorithm(algo)
    asked = Request.of(options)
    if (preset := asked.start.preset) is not None and location.is_url(preset):
        if certify:
            raise BadInput(f"{preset}: a certificate is written beside it; copy it here first")
        asked = replace(asked, start=replace(asked.start, preset=file_here(preset)))
    if asked.place.name is not None:
        check_name(asked.place.name)
    if len(names(env)) > 1:
        asked = several.check_asked(asked, "certify" if certify else job)
    else:
        several.check_single(asked)
    shares = looked_at(algo, env, asked)
    probe = shares[0].probe
    base, resolved = _presets(algo, shares, asked)
    if job == "sweep":
        _check_points(resolved, asked)
    if job == "train":
        resolved = without_search(resolved)
    if job == "landscape":
        resolved = as_landscape(resolved, seeds)
    resolved = within(resolved, asked.env_options.env_copies)
    title = algo if job == "sweep" else f"{job}-{algo}"
    spec = _run_spec(title, shares, resolved, asked)
    spec = replace(spec, command=tuple(secrets.redact(command)))
    singles = [_in(spec, share, asked) for share in shares]
    if len(shares) > 1:
        ends = several.thresholds(algo, shares, asked)
        spec = several.together(spec, several.stepped(singles), shares, ends)
    else:
        (spec,) = singles
        spec = batches.resolved(in_batches(spec, probe, job == "sweep"), probe)
        spec = in_processes(spec)
        objectives.check_seconds(spec)
    spec = with_former(fewer_at_a_time(spec), asked.start.former)
    capacity.check_fits_here(spec, probe)
    if job != "train":
        searchers.build(spec)
    certificate = _certificate(base, asked.start.preset) if certify else None
    return spec, JobSpec(job, certificate=certificate, seeds=seeds)


def landscape_request(
    algo: str, env: EnvsLike, *, trials: int, seeds: int, **options: Any
) -> tuple[RunSpec, JobSpec]:
    """The request of a landscape.

    Args:
        trials: number of settings, of a Sobol sequence.
        seeds: of each of them.
        options: as of :func:`make_request`.
    """
    search = {"scheduler": "fifo", "searcher": "sobol", "seeds_per_trial": 1}
    return make_request(
        algo, env, job="landscape", trials=trials, seeds=seeds, **{**options, **search}
    )


def make_spec(algo: str, env: EnvsLike, **options: Any) -> RunSpec:
    """The request of a sweep, see :func:`make_request` for its options."""
    return make_request(algo, env, **options)[0]


def _in(spec: RunSpec, share: Share, asked: Request) -> RunSpec:
    """A request in one of the environments that were named.

    Raises:
        BadInput: the settings do not do there, or nothing steps it as asked for.
    """
    stepped_by = asked.env_options.simulator
    wanted = asked.resources.batch, asked.resources.gpus_per_trial, spec.algo
    if stepped_by == "auto" and batches.is_likely(*wanted):
        stepped_by = "gymnasium"
    simulator = simulator_of(stepped_by, share.info, spec.settings, spec.space, share.env_args)
    made = replace(spec.env_options, env_args=share.env_args, simulator=simulator)
    spec = replace(
        spec,
        env=share.info.name,
        env_id=share.info.id,
        env_options=made,
        reading=share.probe.told(spec.settings),
        versions=versions(simulator) | sources.digests(share.info.id),
    )
    _check_noise(spec, share.probe)
    return spec


def _run_spec(title: str, shares: Sequence[Share], preset: Preset, asked: Request) -> RunSpec:
    """The request of a run of a preset, without what is an environment's own.

    Args:
        title: what the default name of the run begins with.
    """
    _check(preset, asked.goal)
    env = several.title(shares)
    storage = location.storage(asked.place.storage)
    return RunSpec(
        algo=preset.algo,
        env=env,
        env_id=env,
        settings=preset.settings,
        space=preset.space,
        budget=preset.budget,
        evaluation=preset.evaluation,
        name=asked.place.name or default_name(title, env, storage),
        storage=storage,
        seed=asked.place.seed,
        env_options=replace(
            asked.env_options,
            imports=tuple(map(envs.places.whole, asked.env_options.imports)),
        ),
        points=preset.points,
        resources=asked.resources,
        metric=asked.goal.metric,
        mode=asked.goal.mode,
        objective=tuple(asked.goal.objective),
        callbacks=tuple(map(envs.places.absolute, asked.place.callbacks)),
        log=tuple(asked.place.log),
        log_all=asked.place.log_all,
        report=asked.place.report,
        started_in=str(Path.cwd()),
        versions=versions("gymnasium"),
    )


def _presets(algo: str, shares: Sequence[Share], asked: Request) -> tuple[Preset, Preset]:
    """The first environment's preset as it is written, and with what was asked for laid over it."""
    env, probe = shares[0].info, shares[0].probe
    objectives.check_of_policies(asked.goal)
    path = asked.start.preset
    images = probe.shows_images if env.images is None else env.images
    base = catalog.preset(algo, env, None if path is None else str(path), images=images)
    base = base.in_environments(len(shares))
    budget = objectives.with_defaults(asked.goal, base.budget, asked.budget)
    asked = replace(asked, budget=budget)
    resolved = catalog.override(
        base,
        asked.start.settings,
        asked.start.space,
        with_interval(base, asked),
        asked.start.points,
        asked.evaluation,
    )
    check_used(resolved, asked)
    least = asked.goal.mode != "max"
    other = asked.goal.metric != REWARD or least or asked.goal.objective
    if other and "target" not in asked.budget:
        # A preset's target is a large return; its first trial would end the search for a front.
        target = 1.0 if asked.goal.metric == NORMALIZED and not least else None
        resolved = replace(resolved, budget=replace(resolved.budget, target=target))
    return base, resolved


def _certificate(preset: Preset, path: str | Path | None) -> dict[str, Any]:
    """Where the certificate of a preset goes, and what it is of."""
    place = certificates.place(preset.algo, preset.env, None if path is None else Path(path))
    return {
        "file": str(certificates.writable(place.absolute())),
        "preset": certificates.contents(preset),
    }


def simulator_of(
    asked: str,
    env: EnvInfo,
    settings: Mapping[str, Any],
    space: Space,
    env_args: Mapping[str, Any],
) -> str:
    """The simulator that will step an environment; BadInput for one that cannot."""
    if asked == "gymnasium":
        return asked
    problem = pool.problem(env, largest("frame_stack", settings, space), env_args)
    if asked == "envpool" and problem:
        raise BadInput(f"simulator envpool: {problem}")
    few = settings["num_envs_per_env_runner"] < envs.VECTORISED_FROM
    return "gymnasium" if problem or (asked == "auto" and few) else "envpool"


def _check_noise(spec: RunSpec, probe: Probe) -> None:
    """Refuses correlated noise where actions have none: it would be accepted and ignored."""
    name = "noise_correlation"
    if not spec.settings.get(name) and name not in spec.space:
        return
    if not isinstance(probe.action_space, gym.spaces.Box):
        kind = type(probe.action_space).__name__
        raise BadInput(
            f"{name} is of continuous actions, and those of {spec.env} are {kind}: leave it out"
        )


def check_simulator(spec: RunSpec) -> None:
    """Raises BadInput where what stepped a run's environments elsewhere is not here."""
    env = catalog.environment(spec.env_id, spec.env_options.imports)
    made = spec.env_options
    simulator_of(made.simulator, env, spec.settings, spec.space, made.env_args)


def without_search(preset: Preset) -> Preset:
    """A preset that trains its own settings, on as many seeds as it has trials."""
    report = preset.settings["min_sample_timesteps_per_iteration"]
    budget = replace(
        preset.budget,
        scheduler="fifo",
        searcher="random",
        seeds_per_trial=1,
        judge="mean",
        cost_aware=False,
        total_steps=None,  # the search's: it would leave out seeds
        perturb_every=max(report, preset.budget.steps // CHECKPOINTS),
    )
    space = Space({}, preset.space.constraints)
    return replace(preset, space=space, budget=budget, points=())


def as_landscape(preset: Preset, seeds: int) -> Preset:
    """A preset whose trials are settings times seeds; each trains to its end.

    Raises:
        BadInput: there is nothing to search.
    """
    if not preset.space:
        raise BadInput("space: a landscape is of searched settings, and there are none")
    budget = preset.budget
    budget = replace(
        budget,
        trials=budget.trials * seeds,
        target=math.inf,
        perturb_every=budget.steps,
        cost_aware=False,
        total_steps=None,
    )
    return replace(preset, budget=budget)


def _check(preset: Preset, goal: Goal) -> None:
    problems: list[str] = []
    goals = tuple(map(Metric.parse, goal.objective))
    checks = (
        partial(_check_scheduler, preset),
        partial(_check_total, preset),
        partial(searchers.check, preset.budget.searcher, preset.space, goals),
        partial(schedulers.check_objectives, preset.budget, goals),
    )
    for check in checks:
        try:
            check()
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)


def _check_points(preset: Preset, asked: Request) -> None:
    """Raises BadInput where a preset file of the user's has more points than there are trials."""
    file = asked.start.preset
    if file is None or preset.sources.get("points") != str(file):
        return
    if problems := untried(preset.points, preset.budget.trials):
        raise BadInput([f"{file}: {problem}" for problem in problems])


def _check_total(preset: Preset) -> None:
    total = preset.budget.total_steps
    report = preset.steps_per_report
    if total is not None and total < report:
        raise BadInput(
            f"total_steps {total:,} is less than one report of one trial, {report:,} environment "
            "steps: give more, or lower `min_sample_timesteps_per_iteration` in `settings`"
        )


def _check_scheduler(preset: Preset) -> None:
    name = preset.budget.scheduler
    schedulers.check_seeds(preset.budget)
    if schedulers.row(name).population and not algorithm(preset.algo).mutable(preset.space):
        raise BadInput(
            f"{name} has nothing to change while it trains: every searched setting is structural. "
            f"Search another with `space`, or use {keyword(scheduler='fifo')}."
        )


_version = cache(version)  # which reads a file


def versions(simulator: str) -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"rltune": __version__, "python": platform.python_version()}
    physics = ("box2d", "mujoco", "ale-py", "minigrid")
    for package in ("ray", "torch", "numpy", "scipy", "gymnasium", *physics, simulator):
        with suppress(PackageNotFoundError):
            found[package] = _version(package)
    return found
