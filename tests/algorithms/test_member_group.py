"""Trials that train as one batch: reports, checkpoints, exploits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from quick import config, make, optimiser, weights

from rltune.algorithms.member_group import Arrival, MemberGroup
from rltune.runs.checkpoints import verify
from rltune.runs.records import CheckpointRecord

pytestmark = pytest.mark.usefixtures("ray_session")

ALGOS = ("ppo", "sac")
EXTRA: dict[str, dict[str, Any]] = {
    "ppo": {
        "observation_filter": "MeanStdFilter",
        "normalize_rewards": True,
        "use_kl_loss": True,
        "lr": [[0, 1e-3], [10_000, 0.0]],
    },
    "sac": {
        "observation_filter": "MeanStdFilter",
        "fcnet_hiddens": [32, 32],
        "train_batch_size": 32,
        "critic_lr": [[0, 1e-3], [10_000, 0.0]],
    },
}


def _config(algo: str, trial: str, seed: int, **changes: Any) -> dict[str, Any]:
    return config(algo, trial=trial, **{"seed": seed, **EXTRA[algo], **changes})


def _group(algo: str, count: int = 3) -> tuple[MemberGroup, dict[int, Any]]:
    group = MemberGroup(algo, count)
    trials = [f"t{n:02d}" for n in range(count)]
    arrivals = [
        Arrival(n, trial, _config(algo, trial, 5 + n, gamma=0.95 + 0.01 * n))
        for n, trial in enumerate(trials)
    ]
    return group, _reports(group, count, group.train(arrivals, []))


def _reports(group: MemberGroup, count: int, found: dict[int, Any]) -> dict[int, Any]:
    """The next report of every trial: each is due by its own clock."""
    while len(found) < count:
        found = group.train([], []) | found
    return found


@pytest.mark.parametrize("algo", ALGOS)
def test_every_trial_reports_for_itself(algo: str) -> None:
    group, first = _group(algo)
    second = _reports(group, 3, group.train([], []))
    assert set(first) == set(second) == {0, 1, 2}
    for number, report in second.items():
        assert report["training_iteration"] >= 2
        assert report["env_steps"] >= first[number]["env_steps"] + report["env_steps_this_iter"]
        assert report["env_steps_this_iter"] >= 500
        assert report["settings"]["gamma"] == pytest.approx(0.95 + 0.01 * number)
        assert set(report["learner"]) >= {"gradient_norm"}
    assert len({report["episode_reward_mean"] for report in second.values()}) == 3


@pytest.mark.parametrize("algo", ALGOS)
def test_a_checkpoint_is_that_of_a_single_trial_and_back(algo: str, tmp_path: Path) -> None:
    group, reports = _group(algo)
    places = [tmp_path / name for name in ("a", "b", "c")]
    group.save({1: str(places[0])})
    verify(places[0], algo)
    record = CheckpointRecord.read(places[0])
    assert record.trial_id == "t01"
    assert record.env_steps == reports[1]["env_steps"]
    assert record.means["episode_reward_mean"] == reports[1]["episode_reward_mean"]

    single = make(algo, **{**EXTRA[algo], "trial": "t01", "seed": 6, "gamma": 0.96})
    try:
        single.load_checkpoint(str(places[0]))
        assert single.env_steps == record.env_steps
        network = group._made.learner.network()
        for name, weight in weights(single).items():
            if name in network:
                assert torch.equal(network[name][1].cpu().to(weight.dtype), weight), name
        assert single.step()["restored"]["kind"] == "restore"
        places[1].mkdir()
        single.save_checkpoint(str(places[1]))
        for file in places[1].glob("*.pt"):
            assert (places[0] / file.name).stat().st_size < 1.1 * file.stat().st_size + 500

        again = MemberGroup(algo, 1)
        resumed = Arrival(0, "t01", _config(algo, "t01", 6, gamma=0.96), str(places[1]), 2)
        again._arrive([resumed])  # what a training would begin with
        again.save({0: str(places[2])})
        held = optimiser(single)
        kept = weights(single)
        single.load_checkpoint(str(places[2]))
        for before, after in zip(kept.values(), weights(single).values(), strict=True):
            assert torch.equal(before, after)
        for before, after in zip(held, optimiser(single), strict=True):
            assert torch.equal(before, after)
        assert single.env_steps == record.env_steps + single_steps(places[1], record)
    finally:
        single.cleanup()


def single_steps(path: Path, before: CheckpointRecord) -> int:
    """Steps between two checkpoints."""
    return CheckpointRecord.read(path).env_steps - before.env_steps


@pytest.mark.parametrize("algo", ALGOS)
@pytest.mark.parametrize("in_batch", [True, False])
def test_a_clone_continues_from_its_donor(algo: str, in_batch: bool, tmp_path: Path) -> None:
    group, reports = _group(algo)
    group.save({2: str(tmp_path / "donor")})
    donor = {name: rows[2].clone() for name, rows in group._made.learner.network().items()}
    exploit = {"donor": "t02", "env_steps": reports[0]["env_steps"], "own_checkpoint": None}
    clone = Arrival(
        0,
        "t00",
        _config(algo, "t00", 5, gamma=0.9, exploit=exploit),
        str(tmp_path / "donor"),
        copied_from=2 if in_batch else None,
    )
    group._leave([0])
    group._arrive([clone])
    for name, rows in group._made.learner.network().items():
        assert torch.equal(rows[0], donor[name]), name
    report = _reports(group, 3, group.train([], []))[0]
    assert report["restored"]["kind"] == "exploit"
    assert report["restored"]["donor"] == "t02"
    assert report["restored"]["effective"]["gamma"] == pytest.approx(0.9)
    assert report["settings"]["gamma"] == pytest.approx(0.9)
    assert report["env_steps"] == reports[0]["env_steps"] + report["env_steps_this_iter"]
