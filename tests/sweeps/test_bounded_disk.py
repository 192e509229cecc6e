"""A run's disk is bounded, however many checkpoints its trials write. Real Ray."""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import climbers
import deterministic
import pytest

from rltune.callbacks.base import Callback, CheckpointWritten, SweepStarted
from rltune.request.resolve import make_spec
from rltune.runs.state_file import ROOM
from rltune.spec import RunSpec
from rltune.sweeps import runner
from rltune.sweeps.trial_table import CHECKPOINTS_KEPT

pytestmark = [pytest.mark.slow, pytest.mark.fault(49)]

log = logging.getLogger(__name__)
#: Checkpoints of a trial: its newest, one being written, its best, and its clones'.
MOST = CHECKPOINTS_KEPT + 2
#: Checkpoints of a whole run by hand.
MANY = 1_000


class Looks(Callback):
    """Looks at a run's checkpoints each time that one is written.

    Attributes:
        written: how many there ever were; most: of one trial at a time.
        checkpoints, logs, states: their bytes at each of them, the logs with TensorBoard's.
    """

    def __init__(self) -> None:
        self.written, self.most = 0, 0
        self.checkpoints, self.logs, self.states = list[int](), list[int](), list[int]()

    def on_start(self, event: SweepStarted) -> None:
        self.folder = event.folder.path

    def on_checkpoint(self, event: CheckpointWritten) -> None:
        found = list(self.folder.glob("trials/*/checkpoints/checkpoint_*"))
        self.written += 1
        self.most = max(self.most, *Counter(path.parts[-3] for path in found).values())
        self.checkpoints.append(_size("trials/*/checkpoints/*/*", self.folder))
        logs = ("trials/*/*.jsonl", "trials/*/events.out*", "decisions.jsonl")
        self.logs.append(sum(_size(name, self.folder) for name in logs))
        self.states.append(_size("state*", self.folder))


def _size(pattern: str, folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern))


def test_a_trial_keeps_its_newest_checkpoints_and_its_best(
    tmp_path: Path, cluster_address: str, no_ray_session: None
) -> None:
    options = {"trials": 2, "concurrent": 2, "trainable": climbers.Peaking}
    looks, spec = Looks(), deterministic.spec_of(tmp_path, "a", "fifo", cluster_address, **options)
    run = runner.run(_saved_at(spec, climbers.REPORT, spec.budget.steps), [looks])
    assert looks.written == 2 * spec.budget.steps // climbers.REPORT
    assert looks.most <= MOST
    for trial in run.trials():
        steps = [run.record(path).env_steps for path in run.checkpoints_of(trial)]
        assert steps == [1_500, 5_250, 5_500, 5_750, 6_000]


def _saved_at(spec: RunSpec, every: int, steps: int) -> RunSpec:
    return replace(spec, budget=replace(spec.budget, perturb_every=every, steps=steps))


@pytest.mark.by_hand
@pytest.mark.parametrize("kind", ["single", "batch"])
def test_a_thousand_checkpoints(
    tmp_path: Path, cluster_address: str, no_ray_session: None, kind: str
) -> None:
    if kind == "single":
        spec = deterministic.spec_of(tmp_path, "a", "pbt", cluster_address, concurrent=2)
        spec = _saved_at(spec, climbers.REPORT, MANY // 4 * climbers.REPORT)
    else:
        settings = {"fcnet_hiddens": [16], "train_batch_size": 128, "minibatch_size": 128}
        settings |= {"num_epochs": 1, "min_sample_timesteps_per_iteration": 128}
        words = {"scheduler": "pbt", "trials": 4, "batch": 2, "episodes": 3, "target": math.inf}
        words |= {"storage": tmp_path, "name": "a", "selection_episodes": 1}
        words |= {"address": cluster_address, "settings": settings}
        # Interrupted episodes are played to their end: a report is of more than 128 steps.
        spec = _saved_at(make_spec("ppo", "cartpole", **words), 128, MANY // 4 * 256)
    looks = Looks()
    run = runner.run(spec, [looks])
    tenths = slice(MANY // 10 - 1, None, MANY // 10)
    for name in ("checkpoints", "logs", "states"):
        log.warning("%s: bytes of %s: %s", kind, name, getattr(looks, name)[tenths])
    log.warning("%s: %d checkpoints, at most %d of a trial", kind, looks.written, looks.most)
    assert looks.written >= MANY
    assert looks.most <= MOST + len(run.trials())  # clones may wait for theirs
    assert max(looks.checkpoints) < 1.5 * max(looks.checkpoints[: MANY // 10])
    quarter = len(looks.logs) // 4 - 1
    assert looks.logs[-1] < 4.5 * looks.logs[quarter]
    assert looks.states[-1] < 4.5 * max(looks.states[quarter], ROOM)
