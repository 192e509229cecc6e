"""Cores and memory that this process may use, under CPU affinity, control groups and Slurm.

``os.cpu_count`` and ``psutil.virtual_memory`` return the resources of the whole machine, also in a
container, under ``taskset`` or in a batch job that was granted less.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path("/")
#: Files of machines that may have GPUs which :func:`gpus` does not count.
_TRACES_OF_GPUS = (
    *("proc/driver/nvidia/gpus/*", "dev/nvidia*", "dev/kfd", "dev/dxg"),
    *("dev/dri/renderD*", "dev/accel*"),
)
#: Words of CUDA_VISIBLE_DEVICES that name none.
_NO_DEVICES = ("", "-1", "NoDevFiles")


@dataclass(frozen=True)
class Grant:
    """A granted amount of a resource.

    Attributes:
        amount: number of cores, or bytes.
        limit: name of the limit that keeps it below the machine's total; empty if there is none.
    """

    amount: int
    limit: str = ""


def cores(root: Path = ROOT, variables: Mapping[str, str] = os.environ) -> Grant:
    """Returns the cores that this process and its children may use, at least 1.

    A quota of 1.5 cores counts as 2: two processes share it.

    Args:
        root: root of the file system that control groups are read from.
        variables: environment variables, for Slurm's grants.
    """
    grants = [Grant(os.cpu_count() or 1)]
    if hasattr(os, "sched_getaffinity"):
        grants.append(Grant(len(os.sched_getaffinity(0)), "CPU affinity"))
    for group in _groups(root, "cpu"):
        if quota := _quota(group):
            grants.append(Grant(math.ceil(quota), f"cgroup quota of {quota:g} cores"))
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        if count := _number(variables.get(name, "")):
            grants.append(Grant(count, name))
    return _least(grants)


def memory(root: Path = ROOT, variables: Mapping[str, str] = os.environ) -> Grant:
    """Returns the memory in bytes that this process and its children may use; see :func:`cores`."""
    grants = [Grant(psutil.virtual_memory().total)]
    grants += [Grant(limit, "cgroup memory limit") for limit, _ in _memory_limits(root)]
    if megabytes := _number(variables.get("SLURM_MEM_PER_NODE", "")):
        grants.append(Grant(megabytes << 20, "SLURM_MEM_PER_NODE"))
    per_cpu = _number(variables.get("SLURM_MEM_PER_CPU", ""))
    cpus = _number(variables.get("SLURM_CPUS_ON_NODE", ""))
    if per_cpu and cpus:
        grants.append(Grant(per_cpu * cpus << 20, "SLURM_MEM_PER_CPU"))
    return _least(grants)


def gpus(root: Path = ROOT, variables: Mapping[str, str] = os.environ) -> Grant | None:
    """Returns the GPUs of this process; None where it takes their makers' libraries to tell.

    NVIDIA's are counted by their device files, of which a container has those it was granted. One
    that is cut into instances (MIG), and other makers' GPUs, are not counted.

    Args:
        root: root of the file system; variables: environment variables.
    """
    devices = root / "dev"
    found = len(list(devices.glob("nvidia[0-9]*")))
    shown = variables.get("CUDA_VISIBLE_DEVICES")
    if sys.platform != "linux" or "MIG" in (shown or ""):
        return None
    if not found and any(any(root.glob(trace)) for trace in _TRACES_OF_GPUS):
        return None
    grants = [Grant(found)]
    if shown is not None:
        named = [each for each in shown.split(",") if each.strip() not in _NO_DEVICES]
        grants.append(Grant(len(named), f"CUDA_VISIBLE_DEVICES={shown}"))
    return _least(grants)


def free_memory(root: Path = ROOT, variables: Mapping[str, str] = os.environ) -> Grant:
    """Returns the free memory in bytes for this process and its children; see :func:`cores`.

    Memory that the kernel can reclaim from a control group, inactive file pages, counts as free.
    """
    grants = [memory(root, variables), Grant(psutil.virtual_memory().available)]
    for limit, used in _memory_limits(root):
        grants.append(Grant(max(0, limit - used), "cgroup memory limit"))
    return _least(grants)


@dataclass(frozen=True)
class GpuMemory:
    """Memory of all GPUs together, in bytes."""

    used: int
    total: int


def gpu_memory() -> GpuMemory | None:
    """Returns the memory of NVIDIA's GPUs, of all processes; None where nvidia-smi is missing."""
    words = ["nvidia-smi", "--query-gpu=memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=10)
        rows = [[int(cell) for cell in line.split(",")] for line in done.stdout.splitlines()]
        used, total = (sum(column) << 20 for column in zip(*rows, strict=True))
    except (OSError, subprocess.SubprocessError, ValueError):  # also [N/A], of an instance
        return None
    return GpuMemory(used, total)


def _least(grants: list[Grant]) -> Grant:
    """Returns the smallest grant; the first of equal ones, so that only real limits are named."""
    return min(grants, key=lambda grant: grant.amount)


def _quota(group: Path) -> float | None:
    """Returns the cores that a control group (version 2 or 1) may use; None without a limit."""
    quota, _, period = _text(group / "cpu.max").partition(" ")
    quota = quota or _text(group / "cpu.cfs_quota_us")
    period = period or _text(group / "cpu.cfs_period_us")
    share, whole = _number(quota), _number(period)
    return share / whole if share and whole else None


def _memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yields limit and usage in bytes of each control group of this process."""
    names = ("memory.max", "memory.high", "memory.limit_in_bytes")
    for group in _groups(root, "memory"):
        limits = [limit for name in names if (limit := _number(_text(group / name)))]
        if limits:
            used = _number(_text(group / "memory.current"))
            used = used or _number(_text(group / "memory.usage_in_bytes"))
            words = _text(group / "memory.stat").split()
            stat = dict(zip(words[::2], words[1::2], strict=False))
            cache = stat.get("total_inactive_file") or stat.get("inactive_file", "")
            yield min(limits), max(0, used - _number(cache))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yields the folders of this process's control groups, from its own up to the mount point."""
    mounts = [line.split() for line in _text(root / "proc/self/mountinfo").splitlines()]
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for fields in mounts:
            # ID, parent, device, mounted folder, mount point, options ... - type, source, options
            kind, _, options = fields[fields.index("-") + 1 :][:3]
            if controllers:
                fits = kind == "cgroup" and controller in controllers.split(",")
                fits = fits and controller in options.split(",")
            else:
                fits = kind == "cgroup2"
            if fits:
                mounted = root / fields[4].lstrip("/")
                yield from _upwards(mounted, path.removeprefix(fields[3]))


def _upwards(mounted: Path, path: str) -> Iterator[Path]:
    # In a container the path may be the host's: its folders do not exist and are skipped.
    parts = [part for part in path.split("/") if part and part != ".."]
    for depth in range(len(parts), -1, -1):
        yield mounted.joinpath(*parts[:depth])


def _text(path: Path) -> str:
    """Returns the text of a file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(text: str) -> int:
    """Parses a positive integer; 0 for anything else, such as "max" and -1 for no limit."""
    return int(text) if text.isascii() and text.isdigit() else 0
