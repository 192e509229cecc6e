"""The best policy is held against the runner-up and the defaults, on the same episodes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from trained import trained

from rltune.policies.evaluation import evaluation_seeds
from rltune.policies.rivals import _at_the_defaults, rivals
from rltune.request.resolve import make_spec
from rltune.runs import checkpoints
from rltune.runs.folder import RunFolder
from rltune.runs.records import Report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two trials with a policy; the second one has other settings than the preset."""
    made = trained(tmp_path_factory.mktemp("rivals"), "ppo", "cartpole")
    first = made.path / "trials/t00/checkpoints/checkpoint_000000"
    second = made.path / "trials/t01/checkpoints/checkpoint_000000"
    shutil.copytree(first, second)
    record = made.record(second)
    settings = {**(record.settings or {}), "lr": 7e-3}
    replace(record, settings=settings).write(second)
    checkpoints.seal(second, made.spec.algo, signed=True)
    for trial, path in (("t00", first), ("t01", second)):
        of_trial = made.record(path).settings or {}
        row = {name: of_trial[name] for name in made.spec.space}
        made.append_report(Report(trial, 1, record.env_steps, 500, 1.0, 20.0, row))
    return made


def test_roles_and_episodes(folder: RunFolder) -> None:
    seeds = evaluation_seeds(0, 3)
    ours = folder.path / "trials/t01/checkpoints/checkpoint_000000"
    theirs = folder.path / "trials/t00/checkpoints/checkpoint_000000"
    found = rivals(folder, ours, [ours, theirs], seeds)
    assert [(one.role, one.trial) for one in found] == [("runner-up", "t00"), ("defaults", "t00")]
    assert found[0].evaluation.seeds == seeds
    assert found[0].evaluation == found[1].evaluation
    assert len(found[0].evaluation.returns) == 3


def test_defaults_that_won_are_no_rival_of_themselves(folder: RunFolder) -> None:
    ours = folder.path / "trials/t00/checkpoints/checkpoint_000000"
    found = rivals(folder, ours, [ours], evaluation_seeds(0, 1))
    assert [(one.role, one.trial) for one in found] == [("runner-up", "t01")]


def test_a_winner_at_the_defaults_is_not_held_against_others_at_them(tmp_path: Path) -> None:
    """Another trial at the defaults has the better training record."""
    spec = make_spec("ppo", "cartpole", storage=tmp_path)
    made = RunFolder.create(spec)
    record = {"env_steps": 500, "window": 1, "episode_lengths": [1], "episode_infos": [{}]}
    settings = {"t00": spec.settings, "t01": spec.settings, "t02": {**spec.settings, "lr": 7e-3}}
    for place, (trial, of_trial) in enumerate(settings.items()):
        path = made.path / f"trials/{trial}/checkpoints/checkpoint_000000"
        path.mkdir(parents=True)
        body = {**record, "settings": of_trial, "episode_returns": [20.0 - place]}
        (path / "record.json").write_text(json.dumps(body))
        row = {name: of_trial[name] for name in spec.space}
        made.append_report(Report(trial, 1, 500, 500, 1.0, 20.0, row))
    first, second, other = every = made.checkpoints()
    assert _at_the_defaults(made, second, every) is None
    assert _at_the_defaults(made, other, every) == first
