"""One list of callbacks: all are notified in order, and one that raises harms no other."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import rltune
from rltune.callbacks import base
from rltune.callbacks.base import (
    Callback,
    Callbacks,
    Event,
    Notice,
    StatusChanged,
    SweepStarted,
    TrialReported,
)
from rltune.callbacks.run_writer import RunWriter
from rltune.errors import BadInput
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.records import Report


class Collects(Callback):
    """Keeps what it is notified of."""

    def __init__(self, log: list[tuple[str, Event]], name: str) -> None:
        self.log, self.name = log, name

    def on_event(self, event: Event) -> None:
        self.log.append((self.name, event))


class Fails(rltune.Callback):
    """Of a user, with a mistake in it."""

    def __init__(self) -> None:
        self.calls = 0

    def on_result(self, event: TrialReported) -> None:
        self.calls += 1
        raise ZeroDivisionError("by nothing")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder.create(make_spec("ppo", "cartpole", storage=tmp_path, name="a"))
    made.lock.release()
    return made


def _report(env_steps: int) -> TrialReported:
    lr = {"lr": 1e-3}
    return TrialReported(Report("t00", 1, env_steps, env_steps, 1.0, 20.0, lr))


def test_every_callback_is_notified_of_every_event_in_order(folder: RunFolder) -> None:
    log: list[tuple[str, Event]] = []
    callbacks = Callbacks(
        RunWriter(folder.spec, folder), [Collects(log, "first"), Collects(log, "second")]
    )
    events = [SweepStarted(folder.spec, folder), _report(1), StatusChanged("t00", "RUNNING")]
    for event in events:
        callbacks.notify(event)
    assert log == [(name, event) for event in events for name in ("first", "second")]


def test_every_kind_of_event_has_a_method() -> None:
    kinds = [
        kind
        for kind in vars(base).values()
        if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    ]
    assert len(kinds) >= 9
    for kind in kinds:
        assert callable(getattr(Callback(), kind.handler)), kind


@pytest.mark.fault(55)
def test_a_callback_that_raises_is_switched_off_alone(
    folder: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[tuple[str, Event]] = []
    fails = Fails()
    callbacks = Callbacks(RunWriter(folder.spec, folder), [fails, Collects(log, "after")])
    with caplog.at_level(logging.WARNING, logger="rltune"):
        for env_steps in (1, 2, 3):
            callbacks.notify(_report(env_steps))
    assert fails.calls == 1
    assert len(log) == 3
    assert [row.env_steps for row in folder.reports("t00")] == [1, 2, 3]
    (record,) = caplog.records
    assert "The callback Fails raised ZeroDivisionError: by nothing (" in record.message
    assert "test_callbacks.py:" in record.message
    assert "the sweep continues without it" in record.message


def test_what_the_writer_raises_ends_the_sweep(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[tuple[str, Event]] = []
    callbacks = Callbacks(RunWriter(folder.spec, folder), [Collects(log, "after")])
    (folder.path / "trials").write_text("a file in the way")
    with pytest.raises(OSError, match="trials"):
        callbacks.notify(_report(1))
    assert log == [], "nothing is told that is not written"
    callbacks.notify(Notice("still on"))
    assert len(log) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Callback(), "must be a list"),
        ([Fails], r"the class Fails: make an instance, Fails\(\)"),
        ([print], "does not subclass rltune.Callback"),
        ("wandb", "must be a list"),
    ],
)
def test_what_cannot_be_notified_is_refused(given: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        rltune.sweep("ppo", "cartpole", callbacks=given, storage=tmp_path)
    assert list(tmp_path.iterdir()) == []
