"""The batch script with the real Ray and rltune, where `srun` and `scontrol` are stand-ins.

It ends with `ray stop`, which ends every Ray of its user: it runs in a namespace of its own, which
takes root.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import Cli, environment

pytestmark = pytest.mark.by_hand

SRUN = '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
SCONTROL = '#!/bin/bash\necho "$@" >> requeued\n'
ALONE = "mkdir -p /tmp/ray && mount -t tmpfs tmpfs /tmp/ray && exec bash sweep.sh"
WORDS = ["ppo", "cartpole", "--trials", "2", "--scheduler", "fifo", "--steps", "60k", "--batch"]
WORDS += ["off", "--target", "inf", "--episodes", "5", "--selection-episodes", "2", "--name", "job"]


def start(folder: Path) -> subprocess.Popen[bytes]:
    around = {
        **environment(),
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SLURM_JOB_ID": str(random.randrange(10_000)),
    }
    command = "unshare --mount --pid --fork --mount-proc --kill-child bash -c".split()
    return subprocess.Popen([*command, ALONE], cwd=folder, env=around)


def test_a_job_that_is_told_to_end_is_saved_queued_again_and_continues(
    cli: Cli, tmp_path: Path
) -> None:
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False).returncode:
        pytest.skip("this takes namespaces of its own")
    (tmp_path / "bin").mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    printed = cli("recipe", "slurm", *WORDS, "--nodes", "1", "--node-cpus", "2")
    assert printed.returncode == 0, printed.stderr
    (tmp_path / "sweep.sh").write_text(printed.stdout)

    job = start(tmp_path)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("runs/job/trials/*/checkpoints/*")):
        assert time.monotonic() < deadline
        assert job.poll() is None
        time.sleep(0.2)
    (script,) = psutil.Process(job.pid).children()
    script.send_signal(signal.SIGUSR1)  # as --signal=B:USR1@180 does
    assert job.wait(240) == 130
    assert (tmp_path / "requeued").read_text().startswith("requeue ")
    assert not (tmp_path / "runs/job/summary.json").exists()

    assert start(tmp_path).wait(400) == 0
    summary = json.loads((tmp_path / "runs/job/summary.json").read_text())
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 2
    assert all(60_000 <= trial["env_steps"] < 62_000 for trial in summary["trials"])
