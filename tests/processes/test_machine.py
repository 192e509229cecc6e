"""What a process may use of the machine: affinity, control groups and Slurm (FAULTS 80)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import psutil
import pytest
from conftest import environment, run_rltune

from rltune.engine.replay_buffer import Layout
from rltune.processes import machine
from rltune.processes.machine import Grant

V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw"
V1 = (
    "33 31 0:30 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
)
#: A machine that lets this process have everything.
EVERYTHING = Grant(os.cpu_count() or 1)


def _tree(root: Path, mounts: str, groups: str, files: dict[str, str]) -> Path:
    """A file system with the control groups of a process."""
    shown = {"proc/self/mountinfo": f"1 0 8:1 / / rw - ext4 x rw\n{mounts}\n"}
    for name, text in {**shown, "proc/self/cgroup": groups + "\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which this process may use seven."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)), raising=False)


@pytest.mark.fault(80)
@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 7), ("250000 100000", 3), ("50000 100000", 1), ("900000 100000", 7), ("", 7)],
)
def test_cpu_quotas_of_cgroups_version_2_are_read(tmp_path: Path, quota: str, cores: int) -> None:
    root = _tree(tmp_path, V2, "0::/a/b", {"sys/fs/cgroup/a/b/cpu.max": quota})
    assert machine.cores(root, {}).amount == cores


@pytest.mark.fault(80)
@pytest.mark.parametrize("inner", ["max 100000", "400000 100000"])
def test_a_cpu_quota_of_an_outer_group_applies_to_inner_groups(tmp_path: Path, inner: str) -> None:
    files = {"sys/fs/cgroup/a/cpu.max": "200000 100000", "sys/fs/cgroup/a/b/cpu.max": inner}
    root = _tree(tmp_path, V2, "0::/a/b", files)
    assert machine.cores(root, {}) == Grant(2, "cgroup quota of 2 cores")


@pytest.mark.fault(80)
@pytest.mark.parametrize(
    ("mounted", "folder"),
    [
        ("/", "docker/4f2/"),  # as the host sees it
        ("/docker/4f2", ""),  # in a container: its own group is mounted, the path is the host's
        ("/elsewhere", ""),  # in a container, the path means nothing here
    ],
)
def test_limits_of_cgroups_version_1_are_read(tmp_path: Path, mounted: str, folder: str) -> None:
    groups = "5:cpu,cpuacct:/docker/4f2\n4:memory:/docker/4f2\n1:name=systemd:/docker/4f2\n0::/"
    place = "sys/fs/cgroup/{}/" + folder
    files = {
        place.format("cpu,cpuacct") + "cpu.cfs_quota_us": "150000",
        place.format("cpu,cpuacct") + "cpu.cfs_period_us": "100000",
        place.format("memory") + "memory.limit_in_bytes": str(1 << 30),
        place.format("memory") + "memory.usage_in_bytes": str(900 << 20),
        place.format("memory") + "memory.stat": f"cache 5\ntotal_inactive_file {400 << 20}",
        "sys/fs/cgroup/memory/memory.limit_in_bytes"
        if folder
        else "sys/fs/cgroup/cpu,cpuacct/x": str((1 << 63) - 4096),
    }
    root = _tree(tmp_path, V1.format(root=mounted), groups, files)
    assert machine.cores(root, {}) == Grant(2, "cgroup quota of 1.5 cores")
    assert machine.memory(root, {}) == Grant(1 << 30, "cgroup memory limit")
    assert machine.free_memory(root, {}) == Grant(524 << 20, "cgroup memory limit")


@pytest.mark.fault(80)
def test_a_missing_quota_of_version_1_is_no_limit(tmp_path: Path) -> None:
    place = "sys/fs/cgroup/cpu,cpuacct/"
    files = {place + "cpu.cfs_quota_us": "-1", place + "cpu.cfs_period_us": "100000"}
    root = _tree(tmp_path, V1.format(root="/"), "5:cpu,cpuacct:/", files)
    assert machine.cores(root, {}) == Grant(7, "CPU affinity")


@pytest.mark.fault(80)
def test_memory_limits_of_version_2_are_read(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory.max": str(8 << 20),
        "sys/fs/cgroup/a/memory.max": "max",
        "sys/fs/cgroup/a/memory.high": str(4 << 20),
        "sys/fs/cgroup/a/memory.current": str(3 << 20),
        "sys/fs/cgroup/a/memory.stat": f"anon 1\ninactive_file {1 << 20}",
    }
    root = _tree(tmp_path, V2, "0::/a", files)
    assert machine.memory(root, {}) == Grant(4 << 20, "cgroup memory limit")
    assert machine.free_memory(root, {}) == Grant(2 << 20, "cgroup memory limit")


@pytest.mark.fault(80)
def test_a_machine_without_control_groups_has_no_limit(tmp_path: Path) -> None:
    assert machine.cores(tmp_path, {}) == Grant(7, "CPU affinity")
    assert machine.memory(tmp_path, {}) == Grant(psutil.virtual_memory().total)


@pytest.mark.fault(80)
def test_grants_of_slurm_are_read(tmp_path: Path) -> None:
    for variables, cores in (
        ({"SLURM_CPUS_PER_TASK": "2", "SLURM_CPUS_ON_NODE": "4"}, Grant(2, "SLURM_CPUS_PER_TASK")),
        ({"SLURM_CPUS_ON_NODE": "4"}, Grant(4, "SLURM_CPUS_ON_NODE")),
        ({"SLURM_CPUS_PER_TASK": "", "SLURM_CPUS_ON_NODE": "64"}, Grant(7, "CPU affinity")),
        ({"SLURM_CPUS_PER_TASK": "0"}, Grant(7, "CPU affinity")),
    ):
        assert machine.cores(tmp_path, variables) == cores
    for variables, memory in (
        ({"SLURM_MEM_PER_NODE": "64"}, Grant(64 << 20, "SLURM_MEM_PER_NODE")),
        (
            {"SLURM_MEM_PER_CPU": "16", "SLURM_CPUS_ON_NODE": "2"},
            Grant(32 << 20, "SLURM_MEM_PER_CPU"),
        ),
        ({"SLURM_MEM_PER_NODE": "0"}, Grant(psutil.virtual_memory().total)),
    ):
        assert machine.memory(tmp_path, variables) == memory
        assert machine.free_memory(tmp_path, variables).amount <= memory.amount


@pytest.mark.fault(80)
def test_a_buffer_has_to_fit_the_granted_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "free_memory", lambda: Grant(10_000, "cgroup memory limit"))
    numbers = gym.spaces.Box(-1, 1, (4,), np.float32)
    with pytest.raises(MemoryError, match=r"0.0 GB are free \(cgroup memory limit\)"):
        Layout(numbers, gym.spaces.Discrete(2), 10_000).check_memory()


@pytest.mark.fault(80)
@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
def test_the_affinity_of_the_process_limits_its_cores() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from rltune.processes import machine; print(machine.cores(variables={}).amount)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


@pytest.mark.fault(80)
def test_the_command_line_names_the_limit(tmp_path: Path) -> None:
    words = ("dqn", "cartpole", "--dry-run")
    slurm = {"SLURM_CPUS_PER_TASK": "1", "SLURM_MEM_PER_NODE": "2048"}
    done = run_rltune(tmp_path, *words, "--cpus-per-trial", "2", variables=slurm)
    assert done.returncode == 2
    assert "this process may use 1 CPU (SLURM_CPUS_PER_TASK)" in done.stderr
    done = run_rltune(tmp_path, *words, "--memory-per-trial", "3GiB", variables=slurm)
    assert "this process may use 2.0 GiB (SLURM_MEM_PER_NODE)" in done.stderr
