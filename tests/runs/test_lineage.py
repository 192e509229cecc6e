"""What the weights of a best policy lived through, read from run folders made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rltune.errors import BadInput
from rltune.request.resolve import make_spec
from rltune.runs import lineage
from rltune.runs.folder import RunFolder
from rltune.runs.records import Decision, Report
from rltune.runs.summary_record import Summary


class Made:
    """A run folder of members that report every 100 steps."""

    def __init__(self, storage: Path) -> None:
        self.folder = RunFolder.create(make_spec("ppo", "cartpole", storage=storage, name="made"))

    def ran(self, trial: str, steps: range, lr: float, score: float | None = 1.0) -> None:
        for env_steps in steps:
            row = Report(trial, env_steps // 100, env_steps, 100, 1.0, score, {"lr": lr}, None, 1.0)
            self.folder.append_report(row)

    def copied(
        self, trial: str, at: int, donor: str, donor_at: int, lr: float, **more: Any
    ) -> None:
        decision = Decision(
            kind="exploit",
            env_steps=at,
            trial=trial,
            donor=donor,
            donor_env_steps=donor_at,
            requested={"lr": lr},
            effective={"lr": lr},
            **more,
        )
        self.folder.append_decision(decision)

    def ended(self, trial: str, env_steps: int) -> None:
        best = {"trial": trial, "env_steps": env_steps, "config": {}, "checkpoint": "best"}
        summary = {"best": {**best, "score": None}, "evaluation": None, "trials": []}
        spent = {"env_steps": env_steps, "wall_seconds": 1.0, "stop_reason": "steps"}
        self.folder.write_summary(Summary.from_dict({**summary, **spent}))


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def _schedule(made: Made, trial: str, env_steps: int) -> tuple[list[tuple[int, float]], int]:
    found, total = lineage.schedule(made.folder, trial, env_steps)
    return [(at, settings["lr"]) for at, settings in found], total


def test_a_champion_that_never_copied_has_one_setting(made: Made) -> None:
    made.ran("t00", range(100, 900, 100), 0.1)
    assert _schedule(made, "t00", 800) == ([(0, 0.1)], 800)


def test_a_clone_has_its_donors_past(made: Made) -> None:
    made.ran("t00", range(100, 900, 100), 0.1)
    made.ran("t01", range(100, 500, 100), 0.7)
    made.copied("t01", 400, "t00", 400, 0.2)
    made.ran("t01", range(500, 900, 100), 0.2)
    assert _schedule(made, "t01", 800) == ([(0, 0.1), (400, 0.2)], 800)
    assert _schedule(made, "t01", 400) == ([(0, 0.7)], 400), "before the copy"


def test_lineage_follows_the_clock_of_the_weights(made: Made) -> None:
    """Its donor was older when it was copied: the weights have trained for longer than it has."""
    made.ran("t00", range(100, 900, 100), 0.1)
    made.ran("t01", range(100, 500, 100), 0.7)
    made.copied("t01", 400, "t00", 600, 0.2)
    made.ran("t01", range(500, 900, 100), 0.2)
    assert _schedule(made, "t01", 800) == ([(0, 0.1), (600, 0.2)], 1_000)


def test_clones_of_clones_are_traced(made: Made) -> None:
    for trial, lr in (("t00", 0.1), ("t01", 0.7)):
        made.ran(trial, range(100, 300, 100), lr)
    made.copied("t01", 200, "t00", 200, 0.2)
    made.ran("t01", range(300, 500, 100), 0.2)
    made.copied("t00", 400, "t01", 400, 0.3)
    made.copied("t00", 500, "t01", 400, 0.9, error="it died")  # never took effect
    assert _schedule(made, "t00", 700) == ([(0, 0.1), (200, 0.2), (400, 0.3)], 700)
    assert _schedule(made, "t00", 300) == ([(0, 0.1)], 300)


def test_a_replay_has_three_arms(made: Made) -> None:
    """t02 led at the first decision; t01 has the champion's weights, which come from t00."""
    for trial, lr, score in (("t00", 0.1, 5.0), ("t01", 0.7, 1.0), ("t02", 0.4, 9.0)):
        made.ran(trial, range(100, 500, 100), lr, score)
    made.copied("t01", 400, "t00", 400, 0.2)
    made.ran("t00", range(500, 900, 100), 0.1, 50.0)
    made.ran("t01", range(500, 900, 100), 0.2, 99.0)
    made.ended("t01", 800)
    arms, env_steps = lineage.arms(made.folder)
    assert env_steps == 800
    assert arms == {
        "schedule": [[0, {"lr": 0.1}], [400, {"lr": 0.2}]],
        "final": [[0, {"lr": 0.2}]],
        "initial": [[0, {"lr": 0.4}]],
    }


def test_a_return_of_zero_can_be_the_best(made: Made) -> None:
    for trial, score in (("t00", -5.0), ("t01", 0.0), ("t02", None)):
        made.ran(trial, range(100, 500, 100), 0.1, score)
    assert lineage.early_leader(made.folder) == "t01"


def test_a_run_without_a_schedule_is_refused(made: Made) -> None:
    with pytest.raises(BadInput, match=r"has not come to its end.*rltune resume"):
        lineage.arms(made.folder)
    made.ran("t00", range(100, 900, 100), 0.1)
    made.ended("t00", 800)
    with pytest.raises(BadInput, match=r"same settings throughout.*rltune train ppo cartpole"):
        lineage.arms(made.folder)


def test_segments_name_who_trained_and_what_changed(made: Made) -> None:
    made.ran("t00", range(100, 900, 100), 0.1)
    made.ran("t01", range(100, 500, 100), 0.7)
    made.copied("t01", 400, "t00", 600, 0.2)
    made.ran("t01", range(500, 900, 100), 0.2)
    first, second = lineage.segments(made.folder, "t01", 800)
    assert (first.trial, first.donor, first.first, first.last) == ("t00", None, 0, 600)
    assert (first.begin, first.end, first.change) == (0, 600, {})
    assert (second.trial, second.donor, second.first, second.last) == ("t01", "t00", 600, 1_000)
    assert (second.begin, second.end, second.change) == (400, 800, {"lr": (0.1, 0.2)})
