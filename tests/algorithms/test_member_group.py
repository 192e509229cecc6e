"""Trials that train as one batch: reports, checkpoints, exploits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quick import config, make, optimiser, weights

from rltune.algorithms.member_group import MemberGroup
from rltune.algorithms.member_seats import Arrival
from rltune.errors import RltuneError
from rltune.runs.checkpoints import POLICY_FILE, REPLAY_FILE, verify
from rltune.runs.records import CheckpointRecord

pytestmark = pytest.mark.usefixtures("ray_session")

ALGOS = ("ppo", "dqn", "sac")
REPLAYS = ("dqn", "sac")
EXTRA: dict[str, dict[str, Any]] = {
    "ppo": {
        "observation_filter": "MeanStdFilter",
        "normalize_rewards": True,
        "use_kl_loss": True,
        "lr": [[0, 1e-3], [10_000, 0.0]],
    },
    "dqn": {
        "fcnet_hiddens": [32, 32],
        "prioritized_replay": True,
        "prioritized_replay_alpha": 0.6,
        "prioritized_replay_beta": 0.4,
        "epsilon_timesteps": 2_000,
        "final_epsilon": 0.0,
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


@pytest.mark.parametrize(
    ("algo", "env", "copies"),
    [
        ("ppo", {"longest": 1}, 4),
        ("ppo", {"shortest": 200, "longest": 200}, 3),  # as Pendulum's
        ("sac", {"longest": 1}, 1),
        ("sac", {"shortest": 200, "longest": 200}, 1),
        ("dqn", {"longest": 3}, 4),
        ("dqn", {"image": True}, 2),
    ],
)
def test_a_trial_reports_at_the_same_steps_as_by_itself(
    algo: str, env: dict[str, Any], copies: int
) -> None:
    changes = {
        "env": "endings:Ends",
        "env_config": {**env, "continuous": algo == "sac"},
        "num_envs_per_env_runner": copies,
        "fcnet_hiddens": [8],
        "min_sample_timesteps_per_iteration": 240,
        "training_intensity": 1.0,
    }
    own: dict[str, dict[str, Any]] = {
        "ppo": {"train_batch_size": 240, "minibatch_size": 240, "num_epochs": 1},
        "dqn": {"rollout_fragment_length": 5},
        "sac": {"rollout_fragment_length": 3, "n_step": 3},
    }
    changes |= own[algo]
    if algo == "ppo":
        del changes["training_intensity"]
    single = make(algo, **changes)
    try:
        alone = [single.step() for _ in range(4)]
    finally:
        single.cleanup()
    group = MemberGroup(algo, 2)
    arrivals = [Arrival(n, f"t{n:02d}", config(algo, **changes, trial=f"t{n:02d}")) for n in (0, 1)]
    batch = [group.train(arrivals, []), *(group.train([], []) for _ in range(3))]
    for reports, result in zip(batch, alone, strict=True):
        assert set(reports) == {0, 1}
        for report in reports.values():
            for name in ("env_steps", "env_steps_this_iter"):
                assert report[name] == result[name], name
    if algo != "ppo":
        learner = group._made.learner
        assert learner.replay.count(1) == len(single.replay) == learner.updates.transitions[1]


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
        assert single.effective_settings().keys() == reports[1]["settings"].keys()
        held_there = group._buffers.memory(1)
        assert (single.memory() if algo in REPLAYS else {}) == pytest.approx(held_there)
        assert single.step()["restored"]["kind"] == "restore"
        places[1].mkdir()
        single.save_checkpoint(str(places[1]))
        for file in places[1].glob("*.pt"):
            assert (places[0] / file.name).stat().st_size < 1.1 * file.stat().st_size + 500

        again = MemberGroup(algo, 1)
        resumed = Arrival(0, "t01", _config(algo, "t01", 6, gamma=0.96), str(places[1]), 2)
        again._arrive([resumed])  # what a training would begin with
        told = again._seats[0].restored["memory"]
        assert told.pop("replay", None) == ("own" if algo in REPLAYS else None)
        assert told == pytest.approx(single.memory() if algo in REPLAYS else {})
        again.save({0: str(places[2])})
        if algo in REPLAYS:
            ours, theirs = (_experience(np.load(place / REPLAY_FILE)) for place in places[1:])
            assert ours == theirs
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
    exploit["seconds"] = 1e6
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
    assert 0 < report["seconds"] - 1e6 < 60
    assert report["restored"]["memory"].get("replay") == ("empty" if algo in REPLAYS else None)


def _experience(columns: Any) -> list[tuple[float, ...]]:
    """The transitions of a buffer's file."""
    live = columns["live"]
    names = ["rewards", "terminated", "last", "obs", "actions"]
    names += ["priorities"] if "priorities" in columns else []
    table = np.concatenate([columns[name][live].reshape(live.sum(), -1) for name in names], 1)
    return sorted(map(tuple, table.tolist()))


def _held(group: MemberGroup, seat: int) -> list[tuple[float, ...]]:
    rows = group._made.learner.replay.take(seat)
    live = rows["outcomes"][..., 3] > 0
    table = torch.cat([rows["obs"][live].flatten(1), rows["outcomes"][live][:, :2]], 1)
    return sorted(map(tuple, table.tolist()))


@pytest.mark.parametrize("algo", REPLAYS)
def test_a_clone_continues_with_the_requested_buffer(algo: str, tmp_path: Path) -> None:
    group, reports = _group(algo)
    own, donor = tmp_path / "own", tmp_path / "donor"
    group.save({0: str(own), 2: str(donor)})
    held = {"own": _held(group, 0), "donor": _held(group, 2), "empty": []}
    clock = reports[0]["env_steps"]

    def memory(kind: str, seat: int = 0, own: Path | None = own) -> dict[str, Any]:
        """What the clone's report says, after its buffer was compared with what it should be."""
        told = {"donor": "t02", "env_steps": clock, "own_checkpoint": own and str(own)}
        changed = _config(algo, "t00", 5, exploit=told, exploit_buffer=kind)
        if seat in group._seats:
            group._leave([seat])
        for lost in group._arrive([Arrival(seat, "t00", changed, str(donor))]).values():
            raise lost
        found: dict[str, Any] = group._seats[seat].restored["memory"]
        assert _held(group, seat) == held[found["replay"]]
        assert found["transitions"] == len(held[found["replay"]])
        assert found["warm_up_left"] == (0 if found["transitions"] else 100)
        if algo == "dqn":
            assert found["epsilon"] == pytest.approx(1 - clock / 2_000)
        assert "why" not in found or found["replay"] == "empty"
        return found

    files = [folder / REPLAY_FILE for folder in (own, donor)]
    kept = [file.read_bytes() for file in files]
    for file in files:
        file.write_bytes(b"")
    # They lie in their seats, which the files are not asked for.
    assert memory("own")["replay"] == "own"
    assert memory("donor")["replay"] == "donor"
    # The seat holds the donor's now, and the file is gone.
    assert "cut short" in memory("own")["why"]
    assert memory("own", own=None)["why"] == "it has no checkpoint of its own"
    files[0].write_bytes(kept[0])
    assert memory("own")["replay"] == "own"
    assert memory("empty")["warm_up_left"] == 100
    _reports(group, 3, group.train([], []))  # it warms up, and others' buffers go on
    with pytest.raises(RltuneError, match=r"BadCheckpoint: .* is cut short"):
        memory("donor")
    files[1].write_bytes(kept[1])
    assert memory("donor")["replay"] == "donor"


def test_without_saved_buffers_a_resumed_trial_warms_up(tmp_path: Path) -> None:
    group = MemberGroup("dqn", 1)
    changed = _config("dqn", "t00", 5, save_buffer=False)
    group.train([Arrival(0, "t00", changed)], [])
    group.save({0: str(tmp_path)})
    assert not (tmp_path / REPLAY_FILE).exists()
    again = MemberGroup("dqn", 1)
    report = again.train([Arrival(0, "t00", changed, str(tmp_path), 1)], [])[0]
    memory = report["restored"]["memory"]
    assert "save_buffer" in memory["why"]
    assert (memory["replay"], memory["transitions"]) == ("empty", 0)


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_group_of_another_shape_takes_the_place_of_an_empty_one(
    algo: str, tmp_path: Path
) -> None:
    changed = {"ppo": {"minibatch_size": 64, "num_epochs": 2}, "dqn": {"n_step": 2}}[algo]
    group, _ = _group(algo)
    group.save({1: str(tmp_path)})
    moved = CheckpointRecord.read(tmp_path)
    arrivals = [
        Arrival(0, "t00", _config(algo, "t00", 5, **changed)),
        Arrival(1, "t01", _config(algo, "t01", 6, **changed), str(tmp_path), 1),
    ]
    with pytest.raises(ValueError, match="t00: of another shape than the batch"):
        group.train(arrivals[:1], [0])
    group._seats.clear()
    reports = _reports(group, 2, group.train(arrivals, [], 2))
    fresh = MemberGroup(algo, 2)
    for number, report in _reports(fresh, 2, fresh.train(arrivals, [])).items():
        for name in ("env_steps", "episode_reward_mean", "learner", "settings"):
            assert reports[number][name] == report[name], name
        assert changed.items() <= report["settings"].items()
    restored = reports[1]["restored"]
    assert (restored["kind"], restored["env_steps"]) == ("restore", moved.env_steps)
    assert restored["memory"].get("replay") == ("own" if algo in REPLAYS else None)


def test_a_damaged_checkpoint_fails_its_own_trial_alone(tmp_path: Path) -> None:
    """Beside one that continues from a whole checkpoint, and one that begins."""
    group, _ = _group("ppo", 2)
    places = [tmp_path / name for name in ("a", "b")]
    group.save(dict(enumerate(map(str, places))))
    file = places[0] / POLICY_FILE
    file.write_bytes(file.read_bytes()[:-9])
    again, configs = MemberGroup("ppo", 3), [_config("ppo", f"t{n:02d}", 5 + n) for n in range(3)]
    arrivals = [Arrival(n, f"t{n:02d}", configs[n], str(places[n]), 1) for n in (0, 1)]
    found = again.train([*arrivals, Arrival(2, "t02", configs[2])], [])
    assert f"BadCheckpoint: {file} is cut short" in str(found[0])
    assert isinstance(found[0], RltuneError)
    found = _reports(again, 3, found)
    assert found[1]["restored"]["kind"] == "restore"
    assert found[2]["training_iteration"] == 1
    assert 0 not in again._seats


@pytest.mark.parametrize("algo", ALGOS)
def test_tensors_stay_where_they_are(algo: str, tmp_path: Path) -> None:
    """A CUDA graph reads and writes at fixed addresses, whichever trials the batch trains."""
    configs = {n: _config(algo, f"t{n:02d}", n) for n in range(4)}

    def arrival(seat: int, trial: int, **how: Any) -> Arrival:
        return Arrival(seat, f"t{trial:02d}", configs[trial], **how)

    group = MemberGroup(algo, 3)
    group.train([arrival(seat, seat) for seat in range(3)], [])
    group.train([], [])
    before = {name: tensor.data_ptr() for name, tensor in _tensors(group._made.learner).items()}
    assert len(before) > 10
    folders = [tmp_path / name for name in ("a", "b")]
    group.save({0: str(folders[0])})
    group.train([arrival(2, 3)], [2])
    group.train([arrival(0, 0, checkpoint=str(folders[0]))], [0])
    group.train([], [])
    exploit = {"donor": "t01", "env_steps": 1_000, "own_checkpoint": None, "seconds": 1.0}
    configs[3] = {**configs[3], "exploit": exploit, "exploit_buffer": "donor"}
    group.save({1: str(folders[1])})
    clone = arrival(2, 3, checkpoint=str(folders[1]), copied_from=1)
    lost = group.train([arrival(0, 0, checkpoint=str(folders[0])), clone], [0, 2])
    assert not any(isinstance(report, Exception) for report in lost.values())
    after = {name: tensor.data_ptr() for name, tensor in _tensors(group._made.learner).items()}
    assert after == before


def _tensors(held: Any, path: str = "learner") -> dict[str, torch.Tensor]:
    """Every tensor that an object of rltune's holds, by where."""
    if isinstance(held, torch.Tensor):
        return {path: held}
    parts: Iterable[tuple[Any, Any]]
    if isinstance(held, dict):
        parts = held.items()
    elif isinstance(held, list | tuple):
        parts = enumerate(held)
    elif type(held).__module__.startswith("rltune"):
        parts = vars(held).items()
    else:
        return {}
    found: dict[str, torch.Tensor] = {}
    for name, part in parts:
        found |= _tensors(part, f"{path}.{name}")
    return found
