"""Whether a request fits the machine that it would run on."""

from __future__ import annotations

import math
import re
import sys

from rltune.catalog.probe import Probe, probe_of
from rltune.engine.replay_buffer import Layout
from rltune.errors import BadInput
from rltune.processes import machine
from rltune.processes.machine import Grant
from rltune.spec import RunSpec


def check_machine(spec: RunSpec) -> None:
    """Whether a request's numbers make sense, and this machine can hold its trials.

    Raises:
        BadInput: with every problem.
    """
    if problems := number_problems(
        spec.concurrent, spec.cpus_per_trial, spec.gpus_per_trial, spec.seed, spec.max_failures
    ):
        raise BadInput(problems)
    check_fits_here(spec)


def check_fits_here(spec: RunSpec, probe: Probe | None = None) -> None:
    """Refuses what a Ray of our own can never hold here: it would wait indefinitely.

    A Ray that runs already, here or elsewhere, knows what it has; it is asked once connected.

    Args:
        probe: what the environment is like; None to find out.

    Raises:
        BadInput: with what this process may use, and what limits it.
    """
    if spec.address is not None or ray_runs():
        return
    cores, memory = machine.cores(), machine.memory()
    problems = []
    if spec.cpus_of_a_trial > cores.amount:
        problems.append(
            f"a trial asks for {spec.cpus_of_a_trial:g} CPUs (--cpus-per-trial, and one for each "
            f"of num_env_runners): {_granted(cores, f'{cores.amount} CPU')}"
        )
    if spec.memory_per_trial > memory.amount:
        problems.append(
            f"a trial asks for {spec.memory_per_trial / 2**30:.1f} GiB of memory "
            f"(--memory-per-trial): {_granted(memory, f'{memory.amount / 2**30:.1f} GiB')}"
        )
    if problems:
        raise BadInput(problems)
    _check_buffers(spec, probe, min(spec.budget.trials, trials_at_a_time(spec)))


def trials_at_a_time(spec: RunSpec) -> int:
    """Trials that a Ray of our own runs side by side."""
    return spec.concurrent or max(1, int(machine.cores().amount / spec.cpus_of_a_trial))


def ray_runs() -> bool:
    """Whether this process is connected to a Ray already. Ray is not imported to find out."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _granted(grant: Grant, shown: str) -> str:
    if grant.limit:
        return f"this process may use {shown} ({grant.limit})"
    return f"this machine has {shown}"


def replay_layout(spec: RunSpec, probe: Probe | None = None) -> Layout | None:
    """What a trial's replay buffer will hold, and so its memory; None where there is no buffer.

    Args:
        probe: what the environment is like; None to find out.
    """
    settings = spec.settings
    if "buffer_capacity" not in settings:
        return None
    probe = probe or probe_of(spec.env_id, spec.env_args)
    return Layout(
        *probe.spaces(settings),
        settings["buffer_capacity"],
        settings["num_envs_per_env_runner"] * max(1, settings["num_env_runners"]),
        settings["frame_stack"],
    )


def _check_buffers(spec: RunSpec, probe: Probe | None, at_a_time: int) -> None:
    """Refuses replay buffers that will not fit: they would fill up hours later."""
    layout = replay_layout(spec, probe)
    try:
        if layout is not None:
            layout.check_memory(at_a_time)
    except MemoryError as error:
        raise BadInput(str(error)) from error


def as_bytes(size: int | str) -> int:
    """A size in bytes, from a number or a text like ``2GiB`` or ``500MB``.

    Raises:
        BadInput: it is none.
    """
    if isinstance(size, int):
        return size
    found = re.fullmatch(r"([\d.]+)\s*([KMGT]?)(i?)B?", size.strip(), re.IGNORECASE)
    try:
        amount = float(found[1]) if found else -1.0
    except ValueError:
        amount = -1.0
    if found is None or amount < 0:
        raise BadInput(f"--memory-per-trial {size!r} is no size: write it like 2GiB or 500MB")
    return int(amount * (1024 if found[3] else 1000) ** " KMGT".index(found[2].upper() or " "))


def number_problems(
    concurrent: int | None, cpus: float, gpus: float, seed: int, max_failures: int
) -> list[str]:
    """What is wrong with each number by itself."""
    problems: list[str] = []
    if concurrent is not None and concurrent < 1:
        problems.append(f"--concurrent must be at least 1, got {concurrent}")
    if not (cpus > 0 and math.isfinite(cpus)):
        problems.append(f"--cpus-per-trial must be above 0, got {cpus:g}")
    if not (gpus >= 0 and math.isfinite(gpus)):
        problems.append(f"--gpus-per-trial must be 0 or more, got {gpus:g}")
    if max_failures < 0:
        problems.append(f"--max-failures must be 0 or more, got {max_failures}")
    if seed < 0:
        problems.append(f"--seed must be 0 or more, got {seed}")
    return problems
