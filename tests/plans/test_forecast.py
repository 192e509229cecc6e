"""What a whole run will take, from measurements whose future is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from rltune.live.prediction import Known, Trial, Work
from rltune.plans.forecast import CHECKPOINTS_KEPT, ENDING, ONCE, forecast
from rltune.plans.measuring import Measured
from rltune.request import capacity
from rltune.request.resolve import make_spec
from rltune.spec import RunSpec


def spec_of(tmp_path: Path, algo: str = "ppo", **options: object) -> RunSpec:
    words = {"trials": 4, "steps": 1_000, "perturb_every": 200, "storage": tmp_path, **options}
    return make_spec(algo, "cartpole", **words)  # type: ignore[arg-type]


def measured(spec: RunSpec, **changes: object) -> Measured:
    """Two of four trials trained for ten seconds, each 20 steps a second."""
    trials = [Trial(200, False, 5.0, 15.0)] * 2
    work = [Work(5.0 + second, 20, 1.0, False) for second in range(1, 11) for _ in range(2)]
    values = {
        "spec": spec,
        "known": Known(spec.budget, trials, work),
        "before": 8.0,
        "memory": 600_000_000,
        "gpu_memory": None,
        "trials": 2,
        "checkpoint": 10_000,
        "replay": 0,
        "report": 300.0,
        "stepped": 400,
    }
    return Measured(**{**values, **changes})  # type: ignore[arg-type]


def test_time_is_what_is_left_with_the_start_and_the_end(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, scheduler="fifo")
    found = forecast(measured(spec), free_memory=3_000_000_000)
    assert found.speed == pytest.approx(40.0)
    assert found.env_steps == 4_000
    # two places, 2,000 steps each at 20 a second from second 5 on
    assert found.seconds == pytest.approx(8.0 + 5.0 + 100.0 + ENDING)
    assert found.at_most is not None
    assert found.at_most > found.seconds


def test_a_target_does_not_hide_when_the_run_ends_without_it(tmp_path: Path) -> None:
    known = measured(spec_of(tmp_path, target=100.0))
    assert forecast(known, free_memory=1).seconds is not None


def test_memory_has_room_for_so_many_trials(tmp_path: Path) -> None:
    found = forecast(measured(spec_of(tmp_path)), free_memory=3_000_000_000)
    assert (found.memory, found.trials, found.fit) == (600_000_000, 2, 10)
    elsewhere = forecast(measured(spec_of(tmp_path), memory=None), free_memory=1)
    assert (elsewhere.memory, elsewhere.fit) == (None, None)


def test_replay_buffers_fill_up(tmp_path: Path) -> None:
    settings = {"buffer_capacity": 800, "num_steps_sampled_before_learning_starts": 100}
    spec = spec_of(tmp_path, "dqn", settings=settings)
    layout = capacity.replay_layout(spec)
    assert layout is not None
    found = forecast(measured(spec), free_memory=1)
    # 200 of 800 transitions are in each of two buffers, which the rest of 1,000 steps fills
    assert found.memory == 600_000_000 + int(2 * layout.nbytes * 0.75)
    saved = forecast(measured(spec, replay=2_500), free_memory=1)
    assert saved.disk - found.disk == 4 * CHECKPOINTS_KEPT * layout.nbytes


def test_the_disk_holds_checkpoints_and_reports(tmp_path: Path) -> None:
    found = forecast(measured(spec_of(tmp_path)), free_memory=1)
    reports = 4 * 1_000 / 20
    assert found.disk == int(ONCE + 4 * (CHECKPOINTS_KEPT + 1) * 10_000 + reports * 300)
