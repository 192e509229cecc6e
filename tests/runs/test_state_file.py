"""The state file: whole or not at all, whatever moment a crash picks."""

from __future__ import annotations

import logging
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rltune.errors import BadInput
from rltune.runs import state_file
from rltune.runs.state_file import StateFile

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
        lambda text: text.replace(f'"schema": {state_file.SCHEMA}', '"schema": 99'),
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


# What changes goes to a journal ----------------------------------------------------------------


def _next(state: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A state with a few changes, as a sweep makes them; what it does not touch it shares."""
    trials, parts = list(state["trials"]), dict(state["parts"])
    for _ in range(rng.randrange(3)):
        if not trials or rng.random() < 0.3:
            trials.append({"id": f"t{len(trials)}", "steps": 0, "config": {"lr": 0.1}})
        number = rng.randrange(len(trials))
        trials[number] = {**trials[number], "steps": rng.random(), "start": rng.choice([None, "a"])}
    if rng.random() < 0.5:
        parts["rows"] = [*parts["rows"], [rng.random(), float("inf")]][-4:]
    if rng.random() < 0.5:
        parts["open"] = [{"trial": "inf"}] * rng.randrange(3)
    if rng.random() < 0.2:
        parts["members"] = {f"t{rng.randrange(9)}": {"scores": (1.0, None)}}
    return {**state, "trials": trials, "parts": parts}


def _states(count: int) -> list[dict[str, Any]]:
    rng = random.Random(count)
    states = [{"trials": [], "parts": {"rows": [], "open": [], "members": {}}}]
    while len(states) < count:
        states.append(_next(states[-1], rng))
    return states


def _as_read(state: dict[str, Any]) -> Any:
    return state_file.loads(state_file.dumps(state))


@pytest.mark.parametrize("room", [0, 1 << 20])
def test_every_state_is_read_back_whatever_is_damaged_or_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(state_file, "ROOM", room)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    file, last = StateFile(tmp_path), None
    for state in _states(30):
        if _as_read(state) == last:
            continue
        file.write(state)
        before, last = last, _as_read(state)
        assert state_file.read(tmp_path) == last
        copy = tmp_path / "copy"
        for name in (state_file.STATE, state_file.PREVIOUS):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(tmp_path, copy)
            (copy / name).write_text("damaged")
            assert state_file.read(copy) == last
        journal = copy / state_file.JOURNAL
        if journal.exists():
            text = journal.read_bytes()
            start = text[:-1].rfind(b"\n") + 1
            for cut in (start, start + 1, (start + len(text)) // 2, len(text) - 1):
                journal.write_bytes(text[:cut])
                assert state_file.read(copy) == before


def test_a_save_adds_what_changed(tmp_path: Path) -> None:
    trials = [{"id": f"t{number}", "steps": 0} for number in range(1_000)]
    file = StateFile(tmp_path)
    file.write({"trials": trials})
    whole = (tmp_path / state_file.STATE).read_bytes()
    file.write({"trials": [*trials[:-1], {"id": "t999", "steps": 1}]})
    (line,) = (tmp_path / state_file.JOURNAL).read_text().splitlines()
    assert line.endswith(' {"changes": [[["trials", 999, "steps"], 1]]}')
    assert (tmp_path / state_file.STATE).read_bytes() == whole


@pytest.mark.parametrize("step", range(7))
def test_a_crash_while_the_journal_is_folded_in_loses_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(state_file, "ROOM", 0)
    states, file = _states(40), StateFile(tmp_path)
    for state in states[:-1]:
        file.write(state)
    file._room = -1
    with monkeypatch.context() as patched:
        _crash_at(patched, step)
        with pytest.raises(Crash):
            file.write(states[-1])
    left = state_file.read(tmp_path)
    assert left == _as_read(states[-2]) or (step > 4 and left == _as_read(states[-1]))
    file.write(states[-1])  # as after an error that does not end the process
    assert state_file.read(tmp_path) == _as_read(states[-1])


def test_a_damaged_line_ends_a_journal_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    states, file = _states(9), StateFile(tmp_path)
    for state in states:
        file.write(state)
    journal = tmp_path / state_file.JOURNAL
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:3], lines[3].replace("trials", "trialz"), *lines[4:]]))
    with caplog.at_level(logging.WARNING):
        assert state_file.read(tmp_path) in map(_as_read, states[2:6])
    assert f"{journal}:4 is damaged" in caplog.text


def test_a_state_of_an_earlier_rltune_is_read(tmp_path: Path) -> None:
    state_file.write(tmp_path, OLD)
    path = tmp_path / state_file.STATE
    head, body = path.read_text().split("\n", 1)
    header = state_file.loads(head)
    path.write_text(f'{{"schema": 1, "sha256": "{header["sha256"]}"}}\n{body}')
    assert state_file.read(tmp_path) == OLD
