"""Run folders as a sweep leaves them, written row by row."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.records import Phase, Report
from rltune.runs.summary_record import BestPolicy, Evaluation, Summary, TrialOutcome
from rltune.spec import RunSpec

SECONDS = 1_795_806_000.0


def spec_of(storage: Path, **options: Any) -> RunSpec:
    """A request with four searched settings."""
    asked: dict[str, Any] = {"trials": 4, "steps": 10_000, "perturb_every": 1_000, "name": "run"}
    return make_spec("ppo", "cartpole", storage=storage, **(asked | options))


def row(trial: str, steps: int, second: float, score: float | None, **more: Any) -> Report:
    """A report of 1,000 steps that took a second."""
    settings = {"lr": 0.001, "gamma": 0.98, "clip_param": 0.2} | more.pop("settings", {})
    return Report(
        trial, steps // 1_000, steps, 1_000, second, score, settings, train_seconds=second, **more
    )


def folder_of(spec: RunSpec, rows: Iterable[Report]) -> RunFolder:
    """A run that is training, held by this process."""
    folder = RunFolder.create(spec)
    for name, at in (("starting", 0.0), ("training", 5.0)):
        folder.append_phase(Phase(name, SECONDS + at))
    for one in rows:
        folder.append_report(one)
    return folder


def ended(best: bool) -> Summary:
    """What comes out of a run; ``best``: whether any policy does."""
    return Summary(
        best=BestPolicy(
            trial="t01", config={}, checkpoint="best/checkpoint", env_steps=6_000, score=50.0
        )
        if best
        else None,
        evaluation=Evaluation(48.0, 48.0, (47.0, 49.0), 100, [1], [48.0]) if best else None,
        env_steps=15_000,
        wall_seconds=9.0,
        trials=[TrialOutcome(id="t01", status="TERMINATED", error=None)],
        stop_reason="steps",
    )
