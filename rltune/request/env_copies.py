"""``env_copies``: at most so many copies of an environment at any time, in all processes."""

from __future__ import annotations

import logging
from dataclasses import replace

from rltune.errors import BadInput, keyword
from rltune.request import batches, capacity
from rltune.spec import Preset, RunSpec, largest

log = logging.getLogger("rltune")

ENVS, RUNNERS = "num_envs_per_env_runner", "num_env_runners"


def within(preset: Preset, most: int | None) -> Preset:
    """A preset whose trials hold at most so many copies each.

    A preset's own ``num_envs_per_env_runner`` is lowered, which a warning tells; one that was asked
    for is not.

    Raises:
        BadInput: what was asked for holds more; with the setting that fits.
    """
    if most is None:
        return preset
    runners = max(1, largest(RUNNERS, preset.settings, preset.space))
    envs = largest(ENVS, preset.settings, preset.space)
    if runners * envs <= most:
        return preset
    option, each = f"env_copies {most}", most // runners
    if not each:
        fits = most if most > 1 else 0
        advice = keyword(settings={RUNNERS: fits})
        raise BadInput(f"{option}: {RUNNERS} = {runners} hold a copy each: {advice}")
    fits = _fitting(preset, each)
    if ENVS in preset.space or preset.sources.get(ENVS) == "settings":
        beside = f" in each of {runners} runners" if runners > 1 else ""
        raise BadInput(
            f"{option}: a trial holds {runners * envs} copies, {ENVS} = {envs}{beside}: "
            f"{keyword(settings={ENVS: fits})}"
        )
    log.warning("%s: %s is %d instead of the preset's %d", option, ENVS, fits, envs)
    return replace(
        preset,
        settings={**preset.settings, ENVS: fits},
        sources={**preset.sources, ENVS: "env_copies"},
    )


def _fitting(preset: Preset, most: int) -> int:
    """The largest number of environments in a runner that breaks no constraint."""
    for number in range(most, 1, -1):
        if not preset.space.broken({**preset.settings, ENVS: number}):
            return number
    return 1


def fewer_at_a_time(spec: RunSpec) -> RunSpec:
    """A request that runs no more trials side by side than their copies allow."""
    if spec.env_options.env_copies is None:
        return spec
    allowed = spec.env_options.env_copies // spec.copies_of_a_trial
    fits = spec.resources.concurrent
    if fits is None and spec.resources.address is None:
        fits = _at_a_time(spec)
    if fits is not None and fits <= allowed:
        return spec
    return replace(spec, resources=replace(spec.resources, concurrent=allowed))


def _at_a_time(spec: RunSpec) -> int:
    if batches.is_batched(spec):
        return capacity.slots_here(spec)
    return capacity.at_a_time(spec, spec.cpus_of_a_trial)


def note(spec: RunSpec) -> str | None:
    """What a bound on the copies makes of a run, for a person to read."""
    copies = spec.env_options.env_copies
    if copies is None:
        return None
    return (
        f"env_copies {copies}: {_at_a_time(spec)} trials at a time, each with at most "
        f"{spec.copies_of_a_trial} copies of the environment"
    )
