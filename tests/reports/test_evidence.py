"""Who won, by how much and how surely: rows of run folders made by hand."""

from __future__ import annotations

import io
import math
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rltune.cli.outcome import outcome
from rltune.policies.evaluation import summarise
from rltune.policies.preset_file import preset_toml
from rltune.reports.champion import facts
from rltune.reports.confidence import confidence
from rltune.reports.headline import verdict
from rltune.reports.leaderboard import leaderboard
from rltune.reports.run_view import RunView
from rltune.reports.spent import cost
from rltune.reports.words import sentence
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.lineage import Segment, segments
from rltune.runs.records import Decision, Report
from rltune.runs.summary_record import (
    BestPolicy,
    Comparison,
    Rival,
    SeedStatistics,
    SettingOutcome,
    Spent,
    Summary,
    TrialOutcome,
)
from rltune.spec import JobSpec, RunSpec

SPACE = {"lr": {"log": [1e-4, 1e-2]}}


def _spec(storage: Path, **more: Any) -> RunSpec:
    options = {"scheduler": "fifo", "trials": 4, **more}
    spec = make_spec("ppo", "cartpole", space=SPACE, storage=storage, **options)
    return replace(spec, space=spec.space.only(["lr"]))


def _summary(spec: RunSpec, trials: list[TrialOutcome], best: str, **more: Any) -> Summary:
    (of_best,) = [trial for trial in trials if trial.id == best]
    policy = BestPolicy(
        trial=best,
        config=of_best.config,
        checkpoint="best/checkpoint",
        env_steps=of_best.env_steps,
        score=of_best.score,
    )
    summary = Summary(
        best=policy,
        evaluation=None,
        env_steps=sum(trial.env_steps for trial in trials),
        wall_seconds=60.0,
        trials=trials,
        stop_reason="steps",
    )
    return replace(summary, metric=spec.metric, mode=spec.mode, **more)


def _trial(name: str, lr: float, score: float | None, steps: int = 1_000, status: str = "") -> Any:
    status = status or "TERMINATED"
    settings = {"lr": lr}
    return TrialOutcome(
        id=name, status=status, env_steps=steps, score=score, config=settings, error=None
    )


def _rows(trial: str, *points: tuple[int, float, float]) -> list[Report]:
    return [
        Report(trial, place, steps, 100, 1.0, score, {"lr": lr})
        for place, (steps, lr, score) in enumerate(points)
    ]


def test_a_gain_is_at_equal_steps_or_not_told(tmp_path: Path) -> None:
    spec = replace(_spec(tmp_path), metric="episode_reward_mean")
    default = spec.settings["lr"]
    trials = [
        _trial("t00", default, 50.0),
        _trial("t01", 2e-3, 20.0, steps=300),
        _trial("t02", 1e-2, 80.0),
        _trial("t03", 5e-3, 90.0, steps=5_000),
        _trial("t04", 5e-3, None, status="DIVERGED"),
    ]
    reports = {"t00": _rows("t00", (300, default, 30.0), (1_000, default, 50.0))}
    board = leaderboard(spec, _summary(spec, trials, "t02"), reports)
    assert [one.trial for one in board] == ["t02", "t03", "t00", "t01", "t04"]
    assert [one.gain for one in board] == [30.0, None, 0.0, -10.0, None]
    assert board[0].is_best
    assert board[0].on_bounds == {"lr": "highest"}
    minimised = replace(spec, mode="min")
    board = leaderboard(minimised, _summary(minimised, trials, "t01"), reports)
    assert [one.trial for one in board] == ["t01", "t00", "t02", "t03", "t04"]
    assert board[0].gain == 10.0, "a lower cost is a gain"


def test_defaults_that_were_overwritten_are_a_baseline_until_then(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    default = spec.settings["lr"]
    changed = _rows("t00", (100, default, 5.0), (200, 9e-3, 70.0), (300, default, 80.0))
    trials = [_trial("t00", default, 80.0, steps=300), _trial("t01", 2e-3, 9.0, steps=100)]
    trials.append(_trial("t02", 2e-3, 8.0, steps=110))
    board = leaderboard(spec, _summary(spec, trials, "t00"), {"t00": changed})
    assert [one.gain for one in board] == [None, 4.0, None]


def test_a_gain_lies_between_two_reports_of_the_defaults(tmp_path: Path) -> None:
    """No two trials report at the same steps: an older report would flatter every other trial."""
    spec = _spec(tmp_path)
    default = spec.settings["lr"]
    curve = _rows("t00", (1_000, default, 10.0), (2_000, default, 30.0), (3_010, default, 50.0))
    ends = {"t00": (3_010, 50.0), "t01": (1_990, 29.0), "t02": (3_400, 50.0), "t03": (3_600, 99.0)}
    trials = [_trial(name, default, score, steps) for name, (steps, score) in ends.items()]
    board = leaderboard(spec, _summary(spec, trials, "t00"), {"t00": curve})
    gains = {one.trial: one.gain for one in board}
    assert gains["t01"] == pytest.approx(29.0 - 29.8)
    assert gains["t02"] == 0.0, "half an interval past the last report of the defaults"
    assert gains["t03"] is None


def test_what_a_run_folder_lacks_is_said(tmp_path: Path) -> None:
    """Without its decisions a schedule would read as the settings that its trial began with."""
    spec = _spec(tmp_path, name="made")
    folder = RunFolder.create(spec)
    default = spec.settings["lr"]
    for row in _rows("t00", (100, default, 5.0), (200, 7e-3, 70.0)):
        folder.append_report(row)
    trials = [_trial("t00", 7e-3, 70.0, steps=200), _trial("t01", 2e-3, 9.0, steps=200)]
    summary = _summary(spec, trials, "t00")
    run = RunView.of(folder, spec, JobSpec(), summary)
    assert run.champion == []
    assert facts(spec, summary, run.champion, run.reports)[:2] == [
        "the run folder lacks the reports of t01",
        "how the best policy came by its settings is not known: the run folder lacks reports or "
        "decisions",
    ]


def test_a_summary_of_another_run_is_said_not_to_fit(tmp_path: Path) -> None:
    spec = _spec(tmp_path, name="made")
    default = spec.settings["lr"]
    trials = [_trial("t00", default, 70.0, steps=300)]
    summary = replace(_summary(spec, trials, "t00"), metric="score")
    reports = {"t00": _rows("t00", (100, default, 5.0), (200, default, 70.0))}
    assert facts(spec, summary, [], reports)[0] == (
        "summary.json does not fit, as if it were another run's: it is of score (max); t00 ends at "
        "300 environment steps, 200 in its reports"
    )


@pytest.mark.fault(90)
def test_what_never_ran_and_what_was_never_tuned_is_said(tmp_path: Path) -> None:
    spec = _spec(tmp_path, name="made")
    folder = RunFolder.create(spec)
    default = spec.settings["lr"]
    for row in _rows("t00", (100, default, 5.0), (200, default, 70.0)):
        folder.append_report(row)
    summary = replace(
        _summary(spec, [_trial("t00", default, 70.0, steps=200)], "t00"), stop_reason="target"
    )
    told = facts(spec, summary, segments(folder, "t00", 200), {"t00": []})
    assert told == [
        "1 of 4 trials ran before the run ended (target)",
        "the best trial ran at the preset's defaults: nothing was tuned",
    ]
    copied = Decision(
        kind="exploit",
        env_steps=150,
        trial="t00",
        donor="t01",
        donor_env_steps=160,
        requested={"lr": 2e-3},
        effective={"lr": 2e-3},
    )
    folder.append_decision(copied)
    for row in _rows("t01", (160, 3e-3, 5.0)):
        folder.append_report(row)
    schedule = segments(folder, "t00", 200)
    assert [(part.trial, part.donor, part.last) for part in schedule] == [
        ("t01", None, 160),
        ("t00", "t01", 210),
    ]
    assert facts(spec, summary, schedule, {"t00": []})[1:] == [
        "the best settings are a schedule; best/preset.toml has those of its last 50 of 210 "
        "environment steps, its donors' included"
    ]


def test_episodes_that_were_cut_are_said(tmp_path: Path) -> None:
    """The environment sets no limit, and nothing else tells that its episodes are not whole."""
    spec = _spec(tmp_path, name="made")
    row = replace(_rows("t00", (20_000, 1e-3, -100.0))[0], metrics={"episode_len_mean": 1e4})
    summary = _summary(spec, [_trial("t00", 1e-3, -100.0, steps=20_000)], "t00")

    def told(of: RunSpec) -> list[str]:
        return [one for one in facts(of, summary, [], {"t00": [row]}) if "were cut" in one]

    own = replace(spec, env="mine:Endless")
    assert told(own) == [
        "episodes were cut after 10,000 steps, as the environment sets no limit: the environment "
        "argument max_episode_steps sets another"
    ]
    assert told(spec) == [], "a limit of its own"
    args = replace(own.env_options, env_args={"max_episode_steps": 10_000})
    assert told(replace(own, env_options=args)) == []


def test_a_winner_is_as_sure_as_its_episodes(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    ours = summarise([10.0, 12.0, 11.0, 13.0, 9.0, 10.0], [1, 2, 3, 4, 5, 6])

    def told(returns: list[float], seeds: list[int], mode: str = "max") -> Any:
        against = replace(spec, mode=mode)
        rival = Rival(
            role="runner-up",
            trial="t01",
            checkpoint="trials/t01/checkpoints/checkpoint_000001",
            env_steps=1_000,
            evaluation=summarise(returns, seeds),
        )
        trials = [_trial("t00", 1e-3, 10.0)]
        (found,) = confidence(
            against, _summary(against, trials, "t00", evaluation=ours, rivals=[rival])
        )
        return found

    worse = told([1.0, 2.0, 1.0, 3.0, 1.0], [1, 2, 3, 4, 5])
    assert worse.probability == 1.0
    assert worse.samples == 5
    assert worse.sentence.startswith(
        "better than the runner-up (t01, 1,000 steps) with probability over 0.99"
    )
    assert told([1.0, 2.0, 1.0, 3.0, 1.0], [1, 2, 3, 4, 5], "min").probability == 0.0
    level = told([10.0, 12.0, 11.0, 13.0, 9.0], [1, 2, 3, 4, 5])
    assert level.probability == 0.5
    assert level.sentence.startswith("level with the runner-up (t01, 1,000 steps), over 5 episodes")
    few = told([1.0, 2.0], [1, 2])
    assert math.isnan(few.probability)
    assert few.sentence == (
        "against the runner-up (t01, 1,000 steps): 2 selection episodes say too little, it takes 5"
    )
    mixed = told([9.0, 13.0, 11.0, 12.0, 9.5], [1, 2, 3, 4, 5])
    assert 0.05 < mixed.probability < 0.95


def test_settings_with_seeds_are_compared_by_seed(tmp_path: Path) -> None:
    spec = _spec(tmp_path, searcher="random", seeds_per_trial=5, trials=3)
    high, low = [5.0, 6.0, 7.0, 8.0, 9.0], [1.0, 2.0, 3.0, 4.0, 5.5]

    def outcome(scores: list[float], judged: float | None) -> SettingOutcome:
        names = [f"t{place:02d}" for place in range(len(scores))]
        return SettingOutcome(config={"lr": 1e-3}, trials=names, scores=scores, judged=judged)

    settings = [outcome(low, 3.1), outcome(high, 7.0), outcome([50.0], 50.0)]
    summary = _summary(spec, [_trial("t00", 1e-3, 10.0)], "t00", settings=settings)
    (found,) = confidence(spec, summary)
    assert found.unit == "seeds"
    assert found.probability == pytest.approx(24 / 25)
    assert found.difference == pytest.approx(7.0 - 3.1)


def test_the_time_adds_up(tmp_path: Path) -> None:
    spec = replace(_spec(tmp_path), name="x")
    spent = Spent(slots=2, start=10.0, train=40.0, wait=10.0, score=6.0)
    summary = _summary(spec, [_trial("t00", 1e-3, 10.0)], "t00", spent=spent)
    found = cost(spec, summary)
    assert found.seconds == sum(found.phases.values()) == 66.0
    assert found.core_hours == pytest.approx(2 * spec.cpus_of_a_trial * 66 / 3_600)
    assert found.sentence.endswith("start 0:10, train 0:40, wait 0:10, score 0:06")
    earlier = cost(spec, replace(summary, spent=None))
    assert (earlier.phases, earlier.sentence) == ({}, "1:00")


@pytest.mark.fault(90)
def test_a_preset_says_which_part_of_a_schedule_it_is(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    parts = [
        Segment(0, 600, "t00", 0, 600, None, {"lr": 1e-3}),
        Segment(600, 1_000, "t01", 400, 800, "t00", {"lr": 2e-3}),
    ]
    text = preset_toml(spec, {**spec.settings, "lr": 2e-3}, None, schedule=parts)
    assert "the last 400 of 1,000 environment steps" in text
    assert tomllib.loads(text)["settings"]["lr"] == 2e-3
    total = replace(spec, budget=replace(spec.budget, total_steps=1_000, time_budget=60.0))
    bounded = preset_toml(total, spec.settings, None)
    assert "total_steps" not in bounded, "it would end another run early, without a word"
    assert "time_budget" not in bounded
    for mode, kept in (("max", True), ("min", False)):
        ends = replace(spec, mode=mode, budget=replace(spec.budget, target=450.0))
        assert ("target" in tomllib.loads(preset_toml(ends, spec.settings, None))["budget"]) is kept
    assert "steps of the policy" not in preset_toml(spec, spec.settings, None, schedule=parts[:1])


def test_a_replay_of_which_one_schedule_was_scored_is_told(tmp_path: Path) -> None:
    """Its other seeds have no score; and arms of a later version have other names."""
    spec = _spec(tmp_path, name="made")
    folder = RunFolder.create(spec)
    scores = [200.0, 210.0, 190.0]
    statistics = SeedStatistics(
        seeds=3,
        episodes=5,
        scores=scores,
        iqm=200.0,
        ci95=(math.nan, math.nan),
        threshold=475.0,
        share_over_threshold=0.0,
        env_steps=1_000,
        optimism_gap=0.0,
    )
    for name, told in (("schedule", "The champion's schedule"), ("other", "Other")):
        arms = {name: statistics}
        summary = _summary(spec, [_trial("t00", 1e-3, 200.0)], "t00", arms=arms, comparisons=[])
        run = RunView.of(folder, spec, JobSpec("replay", {name: [(0, {"lr": 1e-3})]}), summary)
        assert verdict(run) == f"{told} came to 200; no other schedule has a score."
        screen = io.StringIO()
        Console(file=screen, width=200).print(outcome(spec, run.job, summary))
        assert "over 3 fresh seeds an arm" in screen.getvalue()
    arms = {"schedule": statistics, "final": replace(statistics, seeds=2, scores=scores[:2])}
    screen = io.StringIO()
    summary = _summary(spec, [_trial("t00", 1e-3, 200.0)], "t00", arms=arms, comparisons=[])
    Console(file=screen, width=200).print(outcome(spec, run.job, summary))
    assert (
        "over fresh seeds with a score (3 of the champion's schedule, 2 of its final settings held "
        "constant), 1,000 steps"
    ) in screen.getvalue()
    beaten = Comparison(arm="other", over="schedule", probability=0.9, ci95=(0.6, 1.0))
    assert sentence(beaten).startswith("other beat the champion's schedule")
