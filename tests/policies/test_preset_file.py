"""The preset beside a best policy has the budget that a later search can use."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from rltune.policies.outcome import with_best
from rltune.request.resolve import landscape_request
from rltune.runs.folder import BEST, RunFolder
from rltune.runs.summary_record import Summary

NOTHING: dict[str, Any] = {"best": None, "evaluation": None, "trials": [], "env_steps": 1}
NOTHING |= {"wall_seconds": 1.0, "stop_reason": "steps"}


def test_of_a_landscape_the_steps_of_a_trial_are_kept_alone(tmp_path: Path) -> None:
    """Its trials are settings times seeds, and each of them runs to its end."""
    spec, job = landscape_request("ppo", "cartpole", trials=3, seeds=2, storage=tmp_path)
    folder = RunFolder.create(spec, job)
    record = {"trial": "t00", "settings": spec.settings, "env_steps": 10, "window": 1}
    record |= {"episode_returns": [1.0], "episode_lengths": [1], "episode_infos": [{}]}
    (folder.path / BEST).mkdir(parents=True)
    (folder.path / BEST / "record.json").write_text(json.dumps(record))
    with_best(Summary.from_dict(NOTHING), spec, folder, None, None)
    preset = tomllib.loads((folder.path / "best/preset.toml").read_text())
    assert preset["budget"] == {"steps": spec.budget.steps}
