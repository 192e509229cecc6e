"""What trials of reinforcement learning are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from rltune.request.resolve import make_spec
from rltune.tasks import task_of


@pytest.mark.parametrize("scheduler", ["asha", "fifo"])
def test_a_trial_is_saved_once_an_interval(scheduler: str, tmp_path: Path) -> None:
    spec = make_spec("ppo", "cartpole", scheduler=scheduler, storage=tmp_path)
    per_report = spec.settings["min_sample_timesteps_per_iteration"]
    saved_every = task_of(spec).checkpoint_frequency() * per_report
    assert saved_every == pytest.approx(spec.budget.perturb_every, abs=per_report)
