"""Runs of a population told to TensorBoard's writer by hand, without a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rltune.callbacks.base import (
    Callbacks,
    DecisionApplied,
    Event,
    SweepEnded,
    TrialReported,
)
from rltune.callbacks.run_writer import RunWriter
from rltune.callbacks.tensorboard import TensorBoardWriter
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.records import Decision, Report
from rltune.runs.summary_record import BestPolicy, Evaluation, Summary
from rltune.space import Space

SPACE = {
    "lr": {"log": [1e-5, 1e-2]},
    "num_epochs": {"int": [1, 20]},
    "fcnet_activation": {"choice": ["tanh", "relu"]},
    "use_kl_loss": {"choice": [True, False]},
}
FIRST = {"lr": 1e-3, "num_epochs": 4, "fcnet_activation": "tanh", "use_kl_loss": True}
SECOND = {"lr": 2e-3, "num_epochs": 5, "fcnet_activation": "relu", "use_kl_loss": False}
SCORES = {
    "evaluation/mean": 450.0,
    "evaluation/iqm": 460.0,
    "evaluation/ci95_low": 440.0,
    "evaluation/ci95_high": 470.0,
}


def made(storage: Path, name: str) -> RunFolder:
    """A run without a report yet."""
    spec = make_spec("ppo", "cartpole", space=SPACE, storage=storage, name=name)
    space = Space({name: spec.space[name] for name in SPACE})
    folder = RunFolder.create(replace(spec, space=space))
    folder.lock.release()
    return folder


def tell(folder: RunFolder, *events: Event) -> None:
    """One part of a run: what happens between its start and its end, or a kill."""
    callbacks = Callbacks(RunWriter(folder.spec, folder), [TensorBoardWriter(folder.spec, folder)])
    for event in events:
        callbacks.notify(event)
    callbacks.close()


def report(
    trial: str,
    env_steps: int,
    settings: Mapping[str, Any] = FIRST,
    reward: float = 1.0,
    **further: float,
) -> TrialReported:
    """A report of 100 steps in half a second."""
    metrics = {"episode_len_mean": 9.0, "learner/entropy": 0.5}
    row = Report(trial, env_steps // 100, env_steps, 100, 1.0, reward, settings, None, 1.0, metrics)
    return TrialReported(row, seconds=0.5, further=further)


def exploit(trial: str, at: int, donor: str, donor_at: int) -> DecisionApplied:
    """A trial continues from a donor, at other settings."""
    decision = Decision(
        kind="exploit",
        env_steps=at,
        trial=trial,
        donor=donor,
        donor_env_steps=donor_at,
        requested=SECOND,
        effective=SECOND,
    )
    return DecisionApplied(decision)


def ended(trial: str, env_steps: int) -> SweepEnded:
    """The end of a run that this trial has won."""
    best = BestPolicy(
        trial=trial,
        config={**SECOND, "gamma": 0.9},
        checkpoint="best/checkpoint",
        env_steps=env_steps,
        score=3.0,
    )
    return SweepEnded(
        Summary(
            best=best,
            evaluation=Evaluation(450.0, 460.0, (440.0, 470.0), 10, [], []),
            env_steps=800,
            wall_seconds=10.0,
            trials=[],
            stop_reason="steps",
        )
    )


def parts() -> list[Event]:
    """A population of two: t01 copies t00 at step 200, and ends as the best."""
    return [
        *(report(trial, 100, reward=1.0) for trial in ("t00", "t01")),
        *(report(trial, 200, reward=2.0) for trial in ("t00", "t01")),
        exploit("t01", 200, "t00", 200),
        report("t00", 300, reward=2.5),
        report("t01", 300, SECOND, reward=3.0),
        report("t01", 400, SECOND, reward=4.0),
        ended("t01", 400),
    ]
