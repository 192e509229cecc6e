"""Sweeps whose trials share a GPU; skipped where there is none.

The tests of the algorithms run on one too: ``RLTUNE_TEST_GPUS=1 pytest tests/algorithms``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import run_rltune

from rltune.catalog.algorithms import ALGORITHMS
from rltune.runs.checkpoints import POLICY_FILE
from rltune.runs.folder import RunFolder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

ENV = {"ppo": "cartpole", "dqn": "cartpole", "sac": "pendulum"}
#: SAC would train for minutes.
FEWER_UPDATES = {"sac": ("--set", "training_intensity=32.0")}
PRESET = """\
[budget]
steps = 4_000
trials = 2
perturb_every = 1_000
target = inf
[settings]
min_sample_timesteps_per_iteration = 500
"""


@pytest.mark.parametrize("batch", ["off", "2"])
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_population_shares_a_gpu(algo: str, batch: str, tmp_path: Path) -> None:
    (tmp_path / "gpu.toml").write_text(PRESET)
    options = ("--preset", "gpu.toml", "--scheduler", "pbt", "--gpus-per-trial", "0.5")
    options = (*options, "--batch", batch, "--name", "shared")
    words = (algo, ENV[algo], *options, *FEWER_UPDATES.get(algo, ()))
    done = run_rltune(tmp_path, *words, "--quiet")
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("**/shared")
    policies = list(run.glob(f"**/{POLICY_FILE}"))
    devices = {
        weight.device.type
        for policy in policies
        for weight in torch.load(policy, weights_only=True).values()
    }
    # A batch, which lies on a GPU or does not start, writes each trial's policy from the CPU.
    assert devices == {"cuda" if batch == "off" else "cpu"}, policies
    kinds = {decision.kind for decision in RunFolder.open(run).decisions()}
    assert "exploit" in kinds, "weights went from one trial to another"
    # What was trained on a GPU acts where there is none.
    words = ("evaluate", str(run), "--episodes", "2", "--json")
    done = run_rltune(tmp_path, *words, variables={"CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
