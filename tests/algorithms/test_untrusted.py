"""FAULTS 46 and 83: a checkpoint is data, whatever its origin, or it is this user's own."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from planted import Touch, Traps
from quick import config, make, optimiser, same, weights
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.callbacks.callbacks import RLlibCallback

import rltune
from rltune.algorithms import tensors
from rltune.errors import BadCheckpoint
from rltune.runs import checkpoints, signatures
from rltune.runs.checkpoints import LEARNER_FILE, MANIFEST, POLICY_FILE, RECORD_FILE

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture
def traps(tmp_path: Path) -> Traps:
    return Traps(tmp_path / "traps")


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets a key be another user's."""
    return lambda: monkeypatch.setenv(signatures.VARIABLE, "0f" * 32)


def _saved(member: Any, folder: Path) -> Path:
    member.train()
    member.save(str(folder))
    return folder


def _reseal(folder: Path, algo: str) -> None:
    (folder / MANIFEST).unlink()
    checkpoints.seal(folder, algo)


@pytest.mark.parametrize("algo", ["ppo", "dqn", "sac"])
def test_a_checkpoint_holds_tensors_and_json_and_restores_bit_for_bit(
    algo: str, tmp_path: Path, stranger: Any
) -> None:
    member, other = make(algo), make(algo, seed=9)
    folder = _saved(member, tmp_path / "saved")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    data = {MANIFEST, RECORD_FILE, POLICY_FILE, LEARNER_FILE}
    assert names - {"replay.npz"} == data
    stranger()
    other.train()
    other.restore(str(folder))
    assert same(weights(member), weights(other))
    assert len(optimiser(member)) > 0
    for mine, its in zip(optimiser(member), optimiser(other), strict=True):
        assert torch.equal(mine, its)
    for name, value in member.learner.extra_state().items():
        assert torch.equal(value, other.learner.extra_state()[name])
    assert other.training_iteration == member.training_iteration == 1
    lifetime = ("env_runners", "num_env_steps_sampled_lifetime")
    assert other.metrics.peek(lifetime) == member.metrics.peek(lifetime) > 0
    member.cleanup()
    other.cleanup()


@pytest.mark.fault(46)
def test_pickles_in_a_checkpoint_are_not_opened(tmp_path: Path, traps: Traps) -> None:
    member = make("ppo")
    folder = _saved(member, tmp_path / "saved")
    traps.checkpoint(folder, "ppo")
    member.restore(str(folder))
    dict_checkpoint = folder / "_dict_checkpoint.pkl"
    dict_checkpoint.write_bytes(traps.pickled(dict_checkpoint))
    with pytest.raises(BadCheckpoint, match=r"_dict_checkpoint\.pkl is a pickle that rltune did"):
        member.restore(str(folder))
    dict_checkpoint.unlink()
    (folder / LEARNER_FILE).unlink()  # now it looks like one of RLlib's
    _reseal(folder, "ppo")
    with pytest.raises(BadCheckpoint, match=r"holds pickles of RLlib's.*rltune\.trust"):
        member.restore(str(folder))
    assert traps.sprung == []
    member.cleanup()


@pytest.mark.fault(46)
@pytest.mark.parametrize("name", [POLICY_FILE, LEARNER_FILE])
def test_tensor_files_that_hold_anything_else_are_refused(
    name: str, tmp_path: Path, traps: Traps
) -> None:
    member = make("ppo")
    folder = _saved(member, tmp_path / "saved")
    before = weights(member)
    whole = torch.load(folder / name, weights_only=True)
    compressed = tmp_path / "compressed"
    with zipfile.ZipFile(folder / name) as old, zipfile.ZipFile(compressed, "w", 8) as new:
        for part in old.namelist():
            new.writestr(part, old.read(part))
    cases: dict[str, Any] = {
        "cannot be read as tensors": {"x": Touch(tmp_path / "traps" / "touched")},
        "its tensors are said to take": {"x": torch.zeros(1).expand(10**12)},
        "it holds a str": {**whole, "x": "text"},
        "it is compressed": compressed.read_bytes(),
        "it holds no dict": torch.zeros(3),
        " lacks ": {},
    }
    for words, content in cases.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            torch.save(content, folder / name)
        _reseal(folder, "ppo")
        with pytest.raises(BadCheckpoint, match=words):
            member.restore(str(folder))
    assert same(before, weights(member))
    assert traps.sprung == []
    member.cleanup()


@pytest.mark.fault(46)
def test_tensors_of_other_shapes_reach_no_kernel(tmp_path: Path) -> None:
    member = make("ppo")
    folder = _saved(member, tmp_path / "saved")
    path = folder / LEARNER_FILE
    whole = tensors.read(path)
    (name,) = whole["optimizers"]
    for key, value in {
        "exp_avg": torch.zeros(7),
        "step": torch.zeros(2, 2),
        "weights": torch.tensor([99]),
    }.items():
        changed = {**whole["optimizers"][name], key: value}
        torch.save({**whole, "optimizers": {name: changed}}, path)
        _reseal(folder, "ppo")
        with pytest.raises(BadCheckpoint, match=r"learner\.pt"):
            member.restore(str(folder))
    member.cleanup()


class OwnCallback(RLlibCallback):
    """Makes a trial run on RLlib's own engine."""


@pytest.mark.fault(83)
def test_a_checkpoint_of_rllibs_engine_is_opened_by_its_user_alone(
    tmp_path: Path, traps: Traps, stranger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = make("ppo", env="CartPole-v1", callbacks_class=OwnCallback)
    assert not member.on_arrays
    folder = _saved(member, tmp_path / "saved")
    moved = folder.rename(tmp_path / "moved")
    member.restore(str(moved))
    with monkeypatch.context() as context:
        context.setenv(signatures.VARIABLE, "0f" * 32)
        with pytest.raises(BadCheckpoint, match="this user has not signed it"):
            member.restore(str(moved))
    extra = moved / "learner_group" / "added.pkl"
    extra.write_bytes(traps.pickled(extra))
    with pytest.raises(BadCheckpoint, match="this user has not signed it"):
        member.restore(str(moved))
    extra.unlink()
    member.restore(str(moved))
    state = next(moved.rglob("class_and_ctor_args.pkl"))
    whole = state.read_bytes()
    state.write_bytes(traps.pickled(state))
    manifest = json.loads((moved / MANIFEST).read_text())  # with checksums that fit, and signature
    name = state.relative_to(moved).as_posix()
    manifest["files"][name] = [state.stat().st_size, checkpoints.checksum(state)]
    (moved / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BadCheckpoint, match="this user has not signed it"):
        member.restore(str(moved))
    assert traps.sprung == []
    state.write_bytes(whole)
    _reseal(moved, "ppo")
    with pytest.raises(BadCheckpoint, match="this user has not signed it"):
        member.restore(str(moved))
    rltune.trust(moved)
    member.restore(str(moved))
    member.cleanup()


def as_before(member: Any, folder: Path) -> None:
    """Makes a checkpoint what it was before they were tensors: RLlib's pickles."""
    (folder / LEARNER_FILE).unlink()
    Algorithm.save_checkpoint(member, str(folder))
    record = json.loads((folder / RECORD_FILE).read_text())
    del record["training_iteration"], record["lifetime"]
    (folder / RECORD_FILE).write_text(json.dumps(record))
    _reseal(folder, member.name)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "schema": 1}))


def test_an_earlier_checkpoint_needs_trust_once(tmp_path: Path) -> None:
    member = make("sac")
    folder = _saved(member, tmp_path / "saved")
    as_before(member, folder)
    clone = make("sac", seed=9)
    with pytest.raises(BadCheckpoint, match="an earlier rltune"):
        clone.restore(str(folder))
    rltune.trust(folder)
    clone.restore(str(folder))
    assert same(weights(member), weights(clone))
    assert torch.equal(
        member.learner.extra_state()["log_alpha"], clone.learner.extra_state()["log_alpha"]
    )
    member.cleanup()
    clone.cleanup()


def test_a_reused_actor_takes_the_donors_weights_at_any_age(tmp_path: Path) -> None:
    donor, clone = make("dqn", trial="t02"), make("dqn", trial="t01", seed=9)
    folder = _saved(donor, tmp_path / "donor")
    for _ in range(3):
        clone.train()  # RLlib's sequence number of weights is ahead of the donor's
    clone.restore(str(folder))
    assert same(weights(donor), weights(clone))
    assert clone.reset(config("dqn", trial="t01"))
    donor.cleanup()
    clone.cleanup()
