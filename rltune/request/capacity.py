"""Whether a request fits the machine that it would run on."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rltune.catalog.probe import Probe, probe_of
from rltune.engine.replay_buffer import Layout
from rltune.errors import BadInput
from rltune.processes import machine
from rltune.processes.machine import Grant
from rltune.processes.torch_build import torch_cuda
from rltune.request import batches
from rltune.spec import FUNCTION, RunSpec


def check_fits_here(spec: RunSpec, probe: Probe | None = None) -> None:
    """Refuses what a Ray of our own can never hold here: it would wait indefinitely.

    A Ray that runs already, here or elsewhere, knows what it has; it is asked once connected.

    Args:
        probe: what the environment is like; None to find out.

    Raises:
        BadInput: with what this process may use, and what limits it.
    """
    problems = _too_many_gpus(spec)
    if spec.resources.address is not None or ray_runs():
        if problems:
            raise BadInput(problems)
        return
    cores, memory = machine.cores(), machine.memory()
    if spec.cpus_of_a_trial > cores.amount:
        problems.append(
            f"a trial asks for {spec.cpus_of_a_trial:g} CPUs (`cpus_per_trial`, and one for each "
            f"of num_env_runners): {_granted(cores, f'{cores.amount} CPU')}"
        )
    if spec.resources.memory_per_trial > memory.amount:
        problems.append(
            f"a trial asks for {spec.resources.memory_per_trial / 2**30:.1f} GiB of memory "
            f"(`memory_per_trial`): {_granted(memory, f'{memory.amount / 2**30:.1f} GiB')}"
        )
    gpus = machine.gpus() if spec.resources.gpus_per_trial else None
    if gpus is not None and spec.resources.gpus_per_trial > gpus.amount:
        problems.append(
            f"a trial asks for {spec.resources.gpus_per_trial:g} GPU (`gpus_per_trial`): "
            f"{_granted(gpus, f'{gpus.amount} GPU' if gpus.amount else 'no GPU')}"
        )
    if gpus is not None and spec.task != FUNCTION and not problems and not torch_cuda():
        problems.append(
            f"gpus_per_trial {spec.resources.gpus_per_trial:g}: torch cannot use the GPU, it was "
            "built without CUDA: install one that was built with it"
        )
    if problems:
        raise BadInput(problems)
    processes = at_a_time(spec, spec.cpus_of_a_trial)
    batched = batches.is_batched(spec)
    if batched and spec.resources.gpus_per_trial:
        return  # their buffers lie on a GPU, whose memory the processes there ask about
    seats = batches.size(spec, processes)[1] if batched else 1
    _check_buffers(spec, probe, min(spec.budget.trials, processes * seats))


def _too_many_gpus(spec: RunSpec) -> list[str]:
    gpus = spec.resources.gpus_per_trial
    if not spec.plays or gpus <= 1:
        return []
    return [
        f"gpus_per_trial {gpus:g}: a trial of {spec.algo}, or a batch, trains on one GPU: 1 or "
        "less. RLlib's own engine trains a trial on several: `rltune tune ALGO` with num_learners"
    ]


def at_a_time(spec: RunSpec, cpus: float) -> int:
    """Processes, of a trial or of a batch, that a Ray of our own runs side by side.

    Args:
        cpus: CPUs of one, those of its own helper processes included.
    """
    fit = max(1, int(machine.cores().amount / cpus))
    return fit if batches.is_batched(spec) else spec.resources.concurrent or fit


def slots_here(spec: RunSpec) -> int:
    """Trials of a run that this machine runs side by side, in a Ray of our own."""
    fit = processes_here(spec)
    if batches.is_batched(spec):
        groups, seats = batches.size(spec, fit)
        fit = min(groups * seats, spec.resources.concurrent or groups * seats)
    return min(fit, spec.budget.trials)


def processes_here(spec: RunSpec) -> int:
    """Processes of a trial, or of a batch, that this machine has room for."""
    asked = spec.resources
    slots = [at_a_time(spec, spec.cpus_of_a_trial)]
    if asked.memory_per_trial:
        slots.append(machine.free_memory().amount // asked.memory_per_trial)
    if asked.gpus_per_trial and (gpus := machine.gpus()) is not None:
        slots.append(_on_gpus(gpus.amount, asked.gpus_per_trial))
    return max(1, min(slots))


def _on_gpus(gpus: int, each: float) -> int:
    """Processes that GPUs have room for; one that takes a part takes it of a single GPU."""
    return gpus * int(1 / each + 1e-9) if each < 1 else int(gpus / each)


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
    if not spec.plays or "buffer_capacity" not in settings:
        return None
    probe = probe or probe_of(spec.env_id, spec.env_options.env_args)
    return Layout(
        *probe.spaces(settings),
        settings["buffer_capacity"],
        settings["num_envs_per_env_runner"] * max(1, settings["num_env_runners"]),
        settings["frame_stack"],
    )


def replay_layouts(spec: RunSpec, probe: Probe | None = None) -> list[Layout]:
    """What the replay buffers of a trial will hold, one for each environment, if there are any.

    Args:
        probe: what the environment is like, where there is one; None to find out.
    """
    known = None if spec.environments else probe
    found = (replay_layout(single, known) for single in spec.singles)
    return [layout for layout in found if layout is not None]


def bytes_after(layouts: Sequence[Layout], steps: float) -> float:
    """Bytes that replay buffers of a trial hold which has taken so many steps in all."""
    each = steps / max(1, len(layouts))
    return sum(layout.nbytes * min(1.0, each / layout.capacity) for layout in layouts)


def replay_on_disk(spec: RunSpec) -> int:
    """Bytes of the replay buffers in the last checkpoint of every trial."""
    layouts = replay_layouts(spec) if spec.settings.get("save_buffer") else []
    return int(spec.budget.trials * bytes_after(layouts, spec.budget.steps))


def _check_buffers(spec: RunSpec, probe: Probe | None, trials: int) -> None:
    """Refuses replay buffers that will not fit: they would fill up hours later."""
    layouts = replay_layouts(spec, probe)
    try:
        if layouts:
            largest = max(layouts, key=lambda layout: layout.nbytes)
            largest.check_memory(trials * len(layouts))
    except MemoryError as error:
        raise BadInput(str(error)) from error
