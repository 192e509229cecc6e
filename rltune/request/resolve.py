"""From what a user asks for to a RunSpec, every problem answered before anything starts."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import gymnasium as gym

from rltune import catalog, envs, schedulers, searchers
from rltune._version import __version__
from rltune.catalog.algorithms import algorithm
from rltune.catalog.environments import EnvLike
from rltune.catalog.probe import Probe
from rltune.engine.episodes import REWARD
from rltune.envs import EnvInfo, pool
from rltune.errors import BadInput, unknown
from rltune.metric import Metric
from rltune.policies import certificates
from rltune.processes.watchdog import ENV_TIMEOUT
from rltune.request import capacity, preflight, secrets
from rltune.request.env_copies import fewer_at_a_time, within
from rltune.runs.folder import check_name, default_name
from rltune.space import Space
from rltune.spec import Preset, RunSpec

#: Checkpoints of a trial that is only trained: the points of its greedy policy's curve.
CHECKPOINTS = 20
#: What may step the environments; "auto" chooses.
SIMULATORS = ("auto", "gymnasium", "envpool")


def make_spec(
    algo: str,
    env: EnvLike,
    *,
    scheduler: str | None = None,
    searcher: str | None = None,
    trials: int | None = None,
    steps: int | None = None,
    time_budget: float | None = None,
    target: float | None = None,
    metric: str = REWARD,
    mode: str = "max",
    concurrent: int | None = None,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float = 0.0,
    memory_per_trial: int | str = 0,
    max_failures: int = 2,
    env_timeout: float = ENV_TIMEOUT,
    env_copies: int | None = None,
    episodes: int | None = None,
    selection_episodes: int | None = None,
    simulator: str = "auto",
    seed: int = 0,
    population: Mapping[str, Any] | None = None,
    points: Sequence[Mapping[str, Any]] = (),
    settings: Mapping[str, Any] | None = None,
    space: Mapping[str, Any] | None = None,
    preset: str | Path | None = None,
    env_args: Mapping[str, Any] | None = None,
    imports: Sequence[str] = (),
    storage: str | Path = "runs",
    name: str | None = None,
    address: str | None = None,
    command: Sequence[str] = (),
    job: str = "sweep",
    certify: bool = False,
) -> RunSpec:
    """A whole request, resolved and checked; see :func:`rltune.sweep` for the arguments.

    Args:
        job: "sweep" or "train"; see :class:`rltune.spec.RunSpec`.
        certify: whether a training run writes the certificate of its preset.

    Raises:
        BadInput: with every problem that was found.
    """
    algorithm(algo)
    env_spec = catalog.environment(env, imports)
    if name is not None:
        check_name(name)
    asked = {
        "scheduler": scheduler,
        "searcher": searcher,
        "trials": trials,
        "steps": steps,
        "time_budget": time_budget,
        "target": target,
        **(population or {}),
    }
    goal = Metric(metric, mode)
    goal.check()
    hidden = secrets.hide(env_args or {})
    probe = preflight.check_environment(env_spec, algorithm(algo), hidden, env_timeout)
    pixels = probe.shows_pictures if env_spec.pixels is None else env_spec.pixels
    base = catalog.preset(algo, env_spec, None if preset is None else str(preset), pixels=pixels)
    resolved = catalog.override(
        base,
        settings or {},
        space or {},
        {key: value for key, value in asked.items() if value is not None},
        points,
        {"episodes": episodes, "selection_episodes": selection_episodes},
    )
    if not goal.is_return and target is None:
        # A preset's target is a return.
        resolved = replace(resolved, budget=replace(resolved.budget, target=None))
    certificate = None
    if certify:
        place = certificates.place(algo, env_spec.name, None if preset is None else Path(preset))
        certificate = {
            "file": str(certificates.writable(place.absolute())),
            "preset": certificates.contents(base),
        }
    if job == "train":
        resolved = without_search(resolved)
    if env_copies is not None and env_copies < 1:
        raise BadInput(f"--env-copies must be at least 1, got {env_copies}")
    resolved = within(resolved, env_copies)
    memory = capacity.as_bytes(memory_per_trial)
    simulator = simulator_of(simulator, env_spec, resolved.settings, hidden)
    _check(resolved, concurrent, cpus_per_trial, gpus_per_trial, seed, max_failures)
    folder = Path(storage).expanduser().resolve()
    spec = RunSpec(
        algo=algo,
        env=env_spec.name,
        env_id=env_spec.id,
        settings=resolved.settings,
        space=resolved.space,
        budget=resolved.budget,
        evaluation=resolved.evaluation,
        name=name
        or default_name(algo if job == "sweep" else f"{job}-{algo}", env_spec.name, folder),
        storage=str(folder),
        job=job,
        certificate=certificate,
        seed=seed,
        env_args=hidden,
        points=resolved.points,
        concurrent=concurrent,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        memory_per_trial=memory,
        max_failures=max_failures,
        env_timeout=env_timeout,
        env_copies=env_copies,
        simulator=simulator,
        metric=metric,
        mode=mode,
        address=address,
        imports=tuple(map(envs.places.whole, imports)),
        command=tuple(secrets.redact(command)),
        started_in=str(Path.cwd()),
        versions=versions(simulator),
        reading=probe.told(resolved.settings),
    )
    _check_noise(spec, probe)
    spec = fewer_at_a_time(spec)
    capacity.check_fits_here(spec, probe)
    return spec


def simulator_of(
    asked: str, env: EnvInfo, settings: Mapping[str, Any], env_args: Mapping[str, Any]
) -> str:
    """The simulator that will step an environment; BadInput for one that cannot."""
    if asked not in SIMULATORS:
        raise unknown("simulator", asked, SIMULATORS)
    if asked == "gymnasium":
        return asked
    problem = pool.problem(env, settings["frame_stack"], env_args)
    if asked == "envpool" and problem:
        raise BadInput(f"--simulator envpool: {problem}")
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
    env = catalog.environment(spec.env_id, spec.imports)
    simulator_of(spec.simulator, env, spec.settings, spec.env_args)


def without_search(preset: Preset) -> Preset:
    """A preset that trains its own settings, on as many seeds as it has trials."""
    report = preset.settings["min_sample_timesteps_per_iteration"]
    budget = replace(
        preset.budget,
        scheduler="fifo",
        searcher="random",
        perturb_every=max(report, preset.budget.steps // CHECKPOINTS),
    )
    space = Space({}, preset.space.constraints)
    return replace(preset, space=space, budget=budget, points=())


def _check(
    preset: Preset,
    concurrent: int | None,
    cpus: float,
    gpus: float,
    seed: int,
    max_failures: int,
) -> None:
    problems = capacity.number_problems(concurrent, cpus, gpus, seed, max_failures)
    try:
        _check_scheduler(preset)
        searchers.check(preset.budget.searcher)
    except BadInput as error:
        problems += error.problems
    if problems:
        raise BadInput(problems)


def _check_scheduler(preset: Preset) -> None:
    name = preset.budget.scheduler
    if schedulers.row(name).population and not algorithm(preset.algo).mutable(preset.space):
        raise BadInput(
            f"{name} has nothing to change while it trains: every searched setting is structural. "
            "Search another with --space, or use --scheduler fifo."
        )


def versions(simulator: str) -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"rltune": __version__, "python": platform.python_version()}
    physics = ("box2d", "mujoco", "ale-py", "minigrid")
    for package in ("ray", "torch", "numpy", "scipy", "gymnasium", *physics, simulator):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
