"""Sweeps whose trials train as batches."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import faulty
import killed
import notices
import pytest
import warm
from conftest import environment

from rltune.request.batches import shaping
from rltune.request.resolve import make_spec
from rltune.runs import checkpoints, state_file
from rltune.runs.folder import RunFolder
from rltune.runs.records import Report
from rltune.spec import RunSpec

ENVS = {"ppo": "cartpole", "dqn": "cartpole", "sac": "pendulum"}
_REPLAY = {
    "train_batch_size": 16,
    "num_envs_per_env_runner": 4,
    "rollout_fragment_length": 8,
    "training_intensity": 4.0,
    "num_steps_sampled_before_learning_starts": 200,
    "buffer_capacity": 2_000,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {"train_batch_size": 128, "minibatch_size": 128, "num_epochs": 4},
    "dqn": {**_REPLAY, "prioritized_replay": True, "save_buffer": True},
    "sac": _REPLAY,
}
#: Where all wait for each other, the worst one is sure to be replaced. Members of dqn move between
#: batches of other shapes.
SCHEDULING: dict[str, dict[str, Any]] = {
    "sac": {"synchronous": True},
    "dqn": {
        "synchronous": True,
        "space": {"train_batch_size": {"choice": [16, 32]}, "n_step": {"choice": [1, 3, 4]}},
    },
}
#: Trials of several shapes, of which one trial alone has some.
SHAPES = {"fcnet_hiddens": {"choice": [[16], [16, 16]]}, "minibatch_size": {"choice": [32, 128]}}


def _spec(
    storage: Path, algo: str, address: str, env: str | None = None, **options: Any
) -> RunSpec:
    if "scheduler" not in options:
        options = {**SCHEDULING.get(algo, {}), **options}
    searched = options.get("space", {})
    settings = {"fcnet_hiddens": [16, 16], "min_sample_timesteps_per_iteration": 500}
    settings |= SETTINGS[algo]
    return make_spec(
        algo,
        env or ENVS[algo],
        **{
            "settings": {name: value for name, value in settings.items() if name not in searched},
            "scheduler": "pb2",
            "trials": 4,
            "batch": 4,
            "steps": 4_000,
            "perturb_every": 1_000,
            "target": float("inf"),
            "episodes": 3,
            "selection_episodes": 1,
            "storage": storage,
            "name": "whole",
            "address": address,
            "report": False,
            **options,
        },
    )


#: SAC's batches differ in their engine alone, which tests/engine/population has.
SWEPT = [pytest.param(name, marks=[pytest.mark.by_hand] if name == "sac" else []) for name in ENVS]


@pytest.fixture(scope="module", params=SWEPT)
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cluster_address: str
) -> RunFolder:
    """A population in one process; where no kill is tried, copied at a save and continued there."""
    storage, cut = tmp_path_factory.mktemp(request.param), 7 * (request.param != "ppo")
    return killed.start(_spec(storage, request.param, cluster_address), cut=cut)


def test_each_member_is_a_trial(whole: RunFolder) -> None:
    assert whole.trials() == ["t00", "t01", "t02", "t03"]
    exploits = [line for line in whole.decisions() if line.kind == "exploit"]
    assert exploits
    for line in exploits:
        assert line.donor in whole.trials()
        assert line.effective == line.requested
    for name in whole.trials():
        rows = whole.reports(name)
        assert rows[-1].env_steps >= 4_000
        assert [row.training_iteration for row in rows] == list(range(1, len(rows) + 1))
        assert all(row.env_steps_this_iter >= 500 for row in rows)
    summary = whole.summary
    assert summary is not None
    assert summary.spent is not None
    assert summary.spent.processes == 1
    assert summary.spent.slots == 4
    assert summary.evaluation is not None
    assert len(summary.evaluation.returns) == 3  # played by the policy of a single trial


@pytest.mark.parametrize("whole", SWEPT[1:], indirect=True)
def test_a_sweep_cut_at_a_save_continues_from_its_checkpoints(whole: RunFolder) -> None:
    again = killed.cut_of(whole)
    _check_continued(again, whole)
    assert any(line.kind == "restore" for line in again.decisions())


_BY_HAND = [pytest.param(moment, marks=pytest.mark.by_hand) for moment in range(1, 20)]


@pytest.mark.parametrize("moment", [0, *_BY_HAND])
@pytest.mark.parametrize("whole", ["ppo"], indirect=True)
def test_a_killed_sweep_continues_from_its_checkpoints(whole: RunFolder, moment: int) -> None:
    """Killed by SIGKILL after a random number of reports and a moment; what was saved is there."""
    again = _killed(replace(whole.spec, name=f"killed-{moment}"), moment, _lines(whole))
    saved = {body["id"]: body for body in (state_file.read(again.path) or {}).get("trials", [])}
    for body in saved.values():
        if body["checkpoint"] is not None:
            checkpoints.verify(again.path / body["checkpoint"], "ppo")
    killed.start(again.spec)
    _check_continued(again, whole)
    for name, body in saved.items():
        reported = [_told(row) for row in again.reports(name)]
        assert [row for row in reported if row[0] <= body["env_steps"]] == [
            row for row in map(_told, whole.reports(name)) if row[0] <= body["env_steps"]
        ]


def _killed(spec: RunSpec, seed: int, most: int) -> RunFolder:
    """A sweep whose process was killed."""
    rng, folder = random.Random(seed), RunFolder(Path(spec.storage) / spec.name)
    reports, more = rng.randrange(1, most), rng.uniform(0.0, 0.3)
    process = warm.server().Process(target=killed.work, args=(spec, {}, environment(), 0))
    process.start()
    while _lines(folder) < reports:
        assert process.is_alive()
        time.sleep(0.005)
    process.join(more)
    process.kill()
    process.join()
    return folder


def _lines(folder: RunFolder) -> int:
    """Reports so far, of all trials."""
    return sum(
        path.read_bytes().count(b"\n") for path in folder.path.glob("trials/*/progress.jsonl")
    )


def _told(row: Report) -> tuple[Any, ...]:
    return row.env_steps, row.measured, dict(row.settings)


def _check_continued(again: RunFolder, whole: RunFolder) -> None:
    """Checks that restores were audited, and that nothing is lost or was done otherwise before."""
    restores = {line.trial: line for line in again.decisions() if line.kind == "restore"}
    for line in restores.values():
        assert line.effective == line.requested
    for name in again.trials():
        rows, before = again.reports(name), list(map(_told, whole.reports(name)))
        at = restores[name].env_steps if name in restores else 0
        kept = [_told(row) for row in rows if row.env_steps <= at]
        assert kept == [row for row in before if row[0] <= at]
        assert all(_told(row) in before for row in again.discarded(name))
        assert rows[-1].env_steps >= 4_000
        steps = [row.env_steps for row in rows]
        assert steps == sorted(set(steps))


def test_members_move_to_batches_of_their_shapes(whole: RunFolder) -> None:
    names, moves = shaping(whole.spec), 0
    for trial in whole.trials():
        shapes = [[row.settings[name] for name in names] for row in whole.reports(trial)]
        moves += sum(before != after for before, after in pairwise(shapes))
    assert bool(moves) == bool(names)


_OTHERS = [pytest.param(algo, {}, marks=pytest.mark.by_hand) for algo in ("dqn", "sac")]


@pytest.mark.parametrize(("algo", "space"), [("ppo", SHAPES), *_OTHERS])
def test_a_member_does_the_same_in_another_batch(
    algo: str, space: dict[str, Any], tmp_path: Path, cluster_address: str
) -> None:
    """Two seats at a time, where all of a shape sat together: the same reports."""
    asked = {"scheduler": "fifo", "space": {**space, "gamma": {"uniform": [0.9, 0.99]}}}
    together, apart = (
        killed.start(
            _spec(tmp_path, algo, cluster_address, **asked, trials=6, name=name, batch=batch)
        )
        for name, batch in (("together", 6), ("apart", 2))
    )
    shapes = {str(together.reports(name)[0].settings) for name in together.trials()}
    assert len(shapes) == 6
    for name in together.trials():
        rows, others = (
            [(row.env_steps, row.measured) for row in folder.reports(name)]
            for folder in (together, apart)
        )
        assert rows == others
        assert rows[-1][0] >= 4_000


def test_who_ends_the_process_of_a_batch_is_charged_alone(
    tmp_path: Path, cluster_address: str
) -> None:
    args = {"how": "_exit", "at": 80, "once": str(tmp_path / "once")}
    folder = killed.start(
        _spec(
            tmp_path,
            "ppo",
            cluster_address,
            f"{faulty.__file__}:Leaves",
            env_args=args,
            scheduler="fifo",
            max_failures=0,
            steps=1_000,
        )
    )
    summary = folder.summary
    assert summary is not None
    (lost,) = [trial for trial in summary.trials if trial.status == "ERROR"]
    (failure,) = folder.failures(lost.id)
    assert "the environment ended its process with exit code 3 (in step, " in failure.error
    assert not failure.tried_again
    for name in {"t00", "t01", "t02", "t03"} - {lost.id}:
        (failure,) = folder.failures(name)
        assert failure.error == f"the environment of {lost.id} ended the process of their batch"
        assert failure.tried_again
        assert folder.reports(name)[-1].env_steps >= 1_000
    assert not list(folder.path.rglob(".crash-*"))
    assert not (folder.path / ".batches").exists()


@pytest.mark.parametrize("by", ["MemoryError", "torch"])
def test_batches_become_smaller_where_memory_is_short(
    by: str, tmp_path: Path, cluster_address: str
) -> None:
    folder = killed.start(
        _spec(
            tmp_path,
            "ppo",
            cluster_address,
            f"{faulty.__file__}:Crowded",
            env_args={"by": by},
            settings={**SETTINGS["ppo"], "num_envs_per_env_runner": 2},
            scheduler="pbt",
            max_failures=0,
            steps=1_000,
            callbacks=[f"{notices.__file__}:Notices"],
        )
    )
    summary = folder.summary
    assert summary is not None
    assert {trial.status for trial in summary.trials} == {"TERMINATED"}
    for name in folder.trials():
        (failure,) = folder.failures(name)
        assert failure.tried_again
        assert "no more room" in failure.error
        assert folder.reports(name)[-1].env_steps >= 1_000
    told = (folder.path / "notices.txt").read_text().splitlines()
    (line,) = [line for line in told if "no more room" in line]
    assert line.startswith("too little memory for a batch of 4 trials, batches of 2 from here on: ")
