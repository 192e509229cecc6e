"""What made the difference, where that is known by construction; and how it is told."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rltune
from rltune.errors import BadInput
from rltune.options import Budget
from rltune.reports.confidence import beside_controls
from rltune.reports.words import VERDICTS, verdict_in_words
from rltune.runs.folder import RunFolder
from rltune.runs.lineage import arms
from rltune.simulator.run_folder import write_run
from rltune.spec import JobSpec
from rltune.statistics import best_of
from rltune.sweeps.jobs.schedule_replay import ScheduleReplay, verdict

SCRIPT = Path(__file__).parents[2] / "scripts/bench_verdicts.py"
REPETITIONS = 12


def _bench() -> Any:
    spec = spec_from_file_location("bench_verdicts", SCRIPT)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("planted", ["schedule", "luck"])
def test_what_was_planted_is_what_is_said(planted: str) -> None:
    bench = _bench()
    said = Counter(bench.run(planted, 10, repetition)[0] for repetition in range(REPETITIONS))
    others = {"schedule": "luck", "luck": "schedule"}[planted]
    assert said[planted] >= REPETITIONS / 2, said
    assert said[others] <= 2, said


LOW, HIGH = [1.0, 2.0, 3.0, 4.0, 5.0], [11.0, 12.0, 13.0, 14.0, 15.0]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ((HIGH, LOW, LOW, LOW), "schedule"),
        ((HIGH, HIGH, LOW, LOW), "selection"),
        ((HIGH, LOW, HIGH, LOW), "selection"),
        ((HIGH, HIGH, HIGH, HIGH), "luck"),
        ((LOW, HIGH, HIGH, HIGH), "luck"),
        ((HIGH, HIGH, LOW), None),
        ((HIGH, LOW, LOW), "schedule"),
        ((HIGH[:4], LOW[:4], LOW[:4], LOW[:4]), None),
        ((HIGH, LOW[:4], LOW, LOW), None),
    ],
)
def test_a_verdict_needs_every_constant_arm_to_be_beaten(scores: Any, said: str | None) -> None:
    names = ("schedule", "final", "initial", "control")
    known = dict(zip(names, scores, strict=False))
    assert verdict(known, known) == said
    assert verdict(known, [*known, "another"]) is None


def _sweep(tmp_path: Path, controls: int = 3, **options: Any) -> RunFolder:
    found = rltune.simulate(
        lambda settings, env_steps: settings["lr"] * env_steps,
        {"lr": {"log": [1e-4, 1e-1]}},
        scheduler="pbt",
        trials=8,
        controls=controls,
        steps=1_000,
        perturb_every=100,
        report_every=100,
        concurrent=8,
        **options,
    )
    return write_run(found, tmp_path / "run")


def test_a_replay_trains_the_settings_of_every_control_in_turn(tmp_path: Path) -> None:
    folder = _sweep(tmp_path, seed=2)
    found, _ = arms(folder)
    starts = {name: dict(folder.reports(name)[0].settings) for name in ("t05", "t06", "t07")}
    assert {name: schedule for name, schedule in found.items() if "/" in name} == {
        f"control/{name}": [[0, settings]] for name, settings in starts.items()
    }
    job = ScheduleReplay(folder.spec, JobSpec("replay", found))
    assert list(job.arms) == ["schedule", "final", "initial", "control"]
    of_controls = [index for index in range(16) if job.arm(index) == "control"]
    assert of_controls == [3, 7, 11, 15]
    due = [job.due(index, 0) for index in of_controls]
    assert due == [starts["t05"], starts["t06"], starts["t07"], starts["t05"]]
    assert [job.number(index) for index in of_controls] == [0, 1, 2, 3]


def test_a_champion_that_never_changed_has_controls_beside_it_alone(tmp_path: Path) -> None:
    found, _ = arms(_sweep(tmp_path, seed=0))
    assert list(found) == ["schedule", "control/t05", "control/t06", "control/t07"]
    known = {"schedule": HIGH, "control": LOW}
    assert verdict(known, known) == "selection", "there was no schedule"
    with pytest.raises(BadInput, match="there is no schedule to replay"):
        arms(_sweep(tmp_path / "none", controls=0, seed=0, margin=1e9))


def test_a_population_is_told_beside_what_its_controls_make_likely(tmp_path: Path) -> None:
    folder = _sweep(tmp_path)
    summary = folder.summary
    assert summary is not None
    told = beside_controls(folder.spec, summary) or ""
    assert "the best of 5 trials that nobody touches" in told
    assert ", 3 controls at " in told
    scores = {trial.id: trial.score for trial in summary.trials}

    def with_best(value: float) -> str:
        trials = [
            replace(trial, score=value if trial.id == "t00" else min(scores["t01"] or 0.0, value))
            if trial.id < "t05"
            else trial
            for trial in summary.trials
        ]
        return beside_controls(folder.spec, replace(summary, trials=trials)) or ""

    controls = [scores[name] or 0.0 for name in ("t05", "t06", "t07")]
    middle, (low, high) = best_of(controls, 5)
    assert "copying and changing made the difference" in with_best(high + 1.0)
    assert "no more than selection or luck" in with_best(middle)
    assert "copying and changing did harm" in with_best(low - 1.0)


def test_a_run_that_ended_early_is_not_told_beside_its_controls(tmp_path: Path) -> None:
    folder = _sweep(tmp_path)
    assert folder.summary is not None
    for reason in ("target", "time_budget", "total_steps"):
        told = beside_controls(folder.spec, replace(folder.summary, stop_reason=reason)) or ""
        assert "before all of them had the same steps" in told


def test_a_trial_that_failed_is_no_control(tmp_path: Path) -> None:
    folder = _sweep(tmp_path)
    summary = folder.summary
    assert summary is not None
    trials = [replace(t, error="boom") if t.id == "t07" else t for t in summary.trials]
    told = beside_controls(folder.spec, replace(summary, trials=trials)) or ""
    assert "2 with a score say too little" in told


def test_two_controls_say_too_little_and_none_says_nothing(tmp_path: Path) -> None:
    two = _sweep(tmp_path / "two", controls=2)
    assert two.summary is not None
    assert "2 with a score say too little, it takes 3" in (
        beside_controls(two.spec, two.summary) or ""
    )
    none = _sweep(tmp_path / "none", controls=0)
    assert none.summary is not None
    assert beside_controls(none.spec, none.summary) is None


def test_a_prediction_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        drawn = rng.normal(7.0, 3.0, 4 + 8)
        low, high = best_of(drawn[:4], 8)[1]
        inside += low <= drawn[4:].max() <= high
    assert 0.92 <= inside / 400 <= 0.98


def test_an_open_verdict_says_what_is_missing(tmp_path: Path) -> None:
    folder = _sweep(tmp_path)
    summary = folder.summary
    assert summary is not None
    names = ("schedule", "final", "initial")
    asked = JobSpec("replay", {name: [[0, {"lr": 1.0}]] for name in names})
    assert verdict_in_words(summary, asked) is None
    of_arm = rltune.runs.summary_record.SeedStatistics(
        seeds=2,
        episodes=0,
        scores=[1.0, 2.0],
        iqm=1.5,
        ci95=(math.nan, math.nan),
        threshold=None,
        share_over_threshold=None,
        env_steps=1_000,
        optimism_gap=0.0,
    )
    few = replace(summary, arms=dict.fromkeys(("schedule", "final", "initial"), of_arm))
    assert "2 seeds do not tell" in (verdict_in_words(few, asked) or "")
    more = replace(few, arms={name: replace(of_arm, seeds=5) for name in few.arms or {}})
    assert "controls of the sweep" in (verdict_in_words(more, asked) or "")
    assert verdict_in_words(replace(more, verdict="luck"), asked) == VERDICTS["luck"]
    for name in more.arms or {}:
        known = {other: arm for other, arm in (more.arms or {}).items() if other != name}
        told = verdict_in_words(replace(more, arms=known), asked) or ""
        assert told.endswith("arms without scores leave it open"), name
    controls = JobSpec("replay", {**asked.arms, "control/t05": [[0, {"lr": 2.0}]]})
    assert "arms without scores" in (verdict_in_words(more, controls) or "")


@pytest.mark.parametrize("controls", [3, 4, 9])
def test_controls_that_leave_no_population_are_refused(controls: int) -> None:
    with pytest.raises(BadInput, match=re.escape(f"controls: {controls} of 4 trials leave fewer")):
        Budget(trials=4, controls=controls)
