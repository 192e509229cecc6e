"""From a finished sweep to the RunSpec of its replay: was it the schedule, or luck?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rltune import catalog, envs
from rltune.catalog import sources
from rltune.catalog.algorithms import algorithm
from rltune.errors import BadInput
from rltune.options import Budget, Place
from rltune.request import capacity, env_copies, preflight, resolve, secrets
from rltune.request.env_processes import in_processes_again
from rltune.runs import lineage
from rltune.runs.folder import RunFolder
from rltune.runs.names import check_name, default_name
from rltune.runs.remote import location
from rltune.spec import JobSpec, RunSpec


def replay_spec(
    folder: RunFolder,
    seeds: int = 5,
    *,
    concurrent: int | None = None,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = None,
    address: str | None = None,
    command: Sequence[str] = (),
    **place: Any,
) -> tuple[RunSpec, JobSpec]:
    """The request of a replay: every arm on the same fresh seeds, for the champion's steps.

    Args:
        seeds: training runs of each arm.
        place: options of :class:`rltune.options.Place`.

    The others are those of :func:`rltune.sweep`; None for what the sweep had.

    Raises:
        BadInput: the run cannot be replayed, see :func:`rltune.runs.lineage.arms`.
    """
    source = folder.spec
    if folder.job.job != "sweep":
        raise BadInput(f"{folder.shown} is no sweep: there is no schedule to replay")
    if source.environments:
        raise BadInput(
            f"{folder.shown} has several environments, and a replay trains in one. What its "
            "settings come to in each of them: rltune train"
        )
    if seeds < 2:
        raise BadInput(f"seeds must be at least 2, got {seeds}")
    asked = Place(**place)
    if asked.name is not None:
        check_name(asked.name)
    arms, env_steps = lineage.arms(folder)
    count = len({name.partition("/")[0] for name in arms})
    storage = location.storage(asked.storage)
    given: dict[str, Any] = {"cpus_per_trial": cpus_per_trial, "gpus_per_trial": gpus_per_trial}
    given["concurrent"] = concurrent
    given = {option: value for option, value in given.items() if value is not None}
    spec = replace(
        source,
        budget=_budget(source, seeds * count, env_steps),
        points=(),
        objective=(),
        seed=asked.seed,
        name=asked.name or default_name(f"replay-{source.algo}", source.env, storage),
        storage=storage,
        resources=replace(source.resources, address=address, **given),
        callbacks=tuple(map(envs.places.absolute, asked.callbacks)),
        log=tuple(asked.log),
        log_all=asked.log_all,
        report=asked.report,
        command=tuple(secrets.redact(command)),
        versions=resolve.versions(source.env_options.simulator) | sources.digests(source.env_id),
    )
    if spec.plays:
        spec = env_copies.fewer_at_a_time(spec)
    capacity.check_fits_here(spec)
    if spec.plays:
        _check_environment(spec)
    if spec.plays and cpus_per_trial is not None:
        spec = in_processes_again(spec)
    return spec, JobSpec("replay", arms)


def _check_environment(spec: RunSpec) -> None:
    resolve.check_simulator(spec)
    env = catalog.environment(spec.env_id, spec.env_options.imports)
    made = spec.env_options
    preflight.check_environment(env, algorithm(spec.algo), made.env_args, made.env_timeout)


def _budget(source: RunSpec, trials: int, steps: int) -> Budget:
    """The budget of trials that train for some steps, whatever they reach."""
    report = source.settings["min_sample_timesteps_per_iteration"] if source.plays else 1
    return replace(
        source.budget,
        scheduler="fifo",
        searcher="random",
        seeds_per_trial=1,
        judge="mean",
        cost_aware=False,
        controls=0,
        trials=trials,
        steps=steps,
        perturb_every=max(report, steps // resolve.CHECKPOINTS),
        target=None,
        time_budget=None,
        total_steps=None,
    )
