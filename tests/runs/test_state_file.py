"""The state file: whole or not at all, whatever moment a crash picks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rltune.errors import BadInput
from rltune.runs import state_file

OLD, NEW = {"trials": [], "score": 0.1 + 0.2}, {"trials": [1], "score": float("inf")}


class Crash(BaseException):
    """The process is gone: nothing that comes after it runs."""


def _crash_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Lets the process die just before its ``number``-th fsync or rename."""
    left = [number]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Crash
            return call(*args)

        return wrapper

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))


def test_numbers_are_restored_exactly(tmp_path: Path) -> None:
    assert state_file.read(tmp_path) is None
    state_file.write(tmp_path, OLD)
    assert state_file.read(tmp_path) == OLD
    state_file.write(tmp_path, NEW)
    assert state_file.read(tmp_path) == NEW


@pytest.mark.fault(4)
@pytest.mark.parametrize("step", range(4))
def test_a_crash_while_writing_leaves_a_whole_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    state_file.write(tmp_path, OLD)
    with monkeypatch.context() as patched:
        _crash_at(patched, step)
        with pytest.raises(Crash):
            state_file.write(tmp_path, NEW)
    assert state_file.read(tmp_path) == (NEW if step == 3 else OLD)
    state_file.write(tmp_path, NEW)
    assert state_file.read(tmp_path) == NEW


@pytest.mark.fault(4)
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("trials", "trialz"),
        lambda text: "",
        lambda text: text.replace('"schema": 1', '"schema": 99'),
    ],
)
def test_a_damaged_state_is_named_and_the_previous_one_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[str], str]
) -> None:
    state_file.write(tmp_path, OLD)
    state_file.write(tmp_path, NEW)
    newest = tmp_path / state_file.STATE
    newest.write_text(damage(newest.read_text()))
    with caplog.at_level(logging.WARNING):
        assert state_file.read(tmp_path) == OLD
    assert str(newest) in caplog.text
    (tmp_path / state_file.PREVIOUS).write_text("nothing")
    with pytest.raises(BadInput, match="no whole state is left"):
        state_file.read(tmp_path)
