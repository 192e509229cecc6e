"""What the end of a run says of its own certainty."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path

import pytest
import simulated_runs
from rich.console import Console

from rltune.cli.console import output
from rltune.cli.outcome import outcome
from rltune.cli.outcome.words import interval_in_words, optimism, verdict
from rltune.metric import Metric
from rltune.reports.words import sentence
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import BestPolicy, Comparison, Evaluation, Summary
from rltune.spec import JobSpec
from rltune.statistics import better, interval


@pytest.mark.fault(87)
@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        (2, "with probability 1.00: too few seeds for an interval, it takes 5 an arm"),
        (5, "with probability 1.00: in every pair of their seeds"),
    ],
)
def test_a_comparison_claims_no_more_than_its_seeds_show(seeds: int, told: str) -> None:
    ours, theirs = [200.0 + n for n in range(seeds)], [100.0 + n for n in range(seeds)]
    for one, other, scores in (
        ("schedule", "final", (ours, theirs)),
        ("final", "schedule", (theirs, ours)),  # the better one is named first
    ):
        said = sentence(Comparison(arm=one, over=other, **better(*scores)))
        assert said.startswith("the champion's schedule beat its final settings held constant")
        assert said.endswith(told)


def test_an_interval_in_words() -> None:
    assert interval_in_words(interval([1.0, 2.0]), "seeds") == "no 95 % interval (it takes 5 seeds)"
    assert interval_in_words((1.0, 2.5), "seeds") == "95 % interval [1, 2.5]"
    unclear = Comparison(arm="final", over="initial", probability=0.6, ci95=(0.4, 0.8))
    assert sentence(unclear).endswith("0.60 [0.40, 0.80]: no clear difference")
    assert math.isnan(interval([1.0] * 4)[0])


def test_the_report_is_offered_as_a_link(tmp_path: Path) -> None:
    spec = make_spec("ppo", "cartpole", storage=tmp_path, name="made")
    folder = RunFolder.create(spec)
    best = BestPolicy(trial="t00", config={}, checkpoint="best/checkpoint", env_steps=3, score=1.0)
    summary = Summary(
        best=best, evaluation=None, env_steps=3, wall_seconds=1.0, trials=[], stop_reason="steps"
    )

    def shown() -> str:
        screen = io.StringIO()
        console = Console(file=screen, width=200, force_terminal=True)
        console.print(outcome(spec, JobSpec(), summary))
        return screen.getvalue()

    assert "Report" not in shown(), "none was written"
    page = folder.path / "report.html"
    page.write_text("<html>")
    assert page.as_uri() in shown(), "as an OSC 8 link"


def test_signs_that_stdout_cannot_encode_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    output().print("★ lr 0.1↓ 学习率")
    stdout.seek(0)
    assert stdout.read() == "* lr 0.1v ???\n"


def test_numbers_are_whole_in_a_window_of_any_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    run = simulated_runs.search(tmp_path)
    assert run.summary is not None
    output().print(outcome(run.spec, run.job, run.summary), crop=False)
    printed = capsys.readouterr().out
    best = run.summary.trials[0]
    assert f"{best.id} ★  done   {best.env_steps:,}" in printed
    assert "…" not in printed


@pytest.mark.parametrize(("mode", "promised"), [("max", 120.0), ("min", 80.0)])
def test_an_optimism_gap_is_told_alike_of_both_directions(mode: str, promised: float) -> None:
    gap = Metric("cost", mode).score(promised - 100.0)
    (line,) = optimism(gap, 100.0, (95.0, 105.0))
    told = "optimism gap 20.0: how much worse this score is than the one it was chosen by"
    assert str(line) == told


def test_only_an_environment_without_arguments_is_called_solved() -> None:
    score = Evaluation(480.0, 480.0, (470.0, 490.0), 1, [1], [480.0])
    assert verdict(make_spec("ppo", "cartpole"), score) == ": solved, the threshold is 475"
    easier = make_spec("ppo", "cartpole", env_args={"max_episode_steps": 900})
    assert verdict(easier, score) == ""
