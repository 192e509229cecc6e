"""A plain function in a thread of its own, one report at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import functions
import numpy as np
import pytest
import torch

import rltune
from rltune.request import metrics as measured
from rltune.tasks.session import Reported, Session

Start = Callable[..., Session]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Makes sessions, which are ended after the test."""
    sessions: list[Session] = []

    def started(function: Any, config: dict[str, Any], checkpoint: Any = None) -> Session:
        scratch = tmp_path / f"scratch{len(sessions)}"
        sessions.append(Session(function, config, scratch, checkpoint))
        return sessions[-1]

    yield started
    for session in sessions:
        session.end()
        assert not _alive(session)
    assert not list(tmp_path.glob("scratch*"))


def _alive(session: Session) -> bool:
    return session._thread.is_alive()


def test_it_trains_no_further_than_its_next_report(start: Start) -> None:
    reached = []

    def train(config: dict[str, Any]) -> None:
        for step in range(3):
            reached.append(step)
            rltune.report({"step": step, **config}, checkpoint={"step": step})

    session = start(train, {"lr": 1.0})
    assert reached == []
    assert session.next_report() == Reported({"step": 0, "lr": 1.0}, '{"step": 0}')
    assert reached == [0]
    assert session.next_report() == Reported({"step": 1, "lr": 1.0}, '{"step": 1}')
    session.end()
    assert not _alive(session)
    assert reached == [0, 1]


def test_a_dict_that_it_returns_is_a_report_where_there_is_no_other(start: Start) -> None:
    alone = start(lambda config: {"score": config["lr"]}, {"lr": 1.0})
    assert alone.next_report() == Reported({"score": 1.0})
    assert alone.next_report() is None
    for checkpoint in (None, {"step": 1}):  # it had reported before it was interrupted
        both = start(lambda config: functions.short(config) or {"x": 1}, {"lr": 1.0}, checkpoint)
        assert [both.next_report() for _ in range(4)][-1] is None


def test_it_continues_from_a_state_as_if_it_had_never_stopped(start: Start) -> None:
    whole, first = (start(functions.climb, {"lr": 1e-3}) for _ in range(2))
    reports = [whole.next_report() for _ in range(4)]
    _, second = [first.next_report() for _ in range(2)]
    assert second is not None
    assert isinstance(second.checkpoint, str)
    again = start(functions.climb, {"lr": 1e-3}, json.loads(second.checkpoint))
    assert [again.next_report() for _ in range(2)] == reports[2:]


def test_a_folder_is_copied_both_ways(start: Start, tmp_path: Path) -> None:
    seen: list[Any] = []

    def train(config: dict[str, Any]) -> None:
        seen.append(rltune.get_checkpoint())
        (tmp_path / "own").mkdir(exist_ok=True)
        for step in range(3):
            (tmp_path / "own/step.txt").write_text(str(step))
            rltune.report({"step": step}, checkpoint=tmp_path / "own")

    session = start(train, {})
    for step in range(3):
        report = session.next_report()
        assert report is not None
        assert isinstance(report.checkpoint, Path)
        (tmp_path / "own/step.txt").write_text("changed since")
        assert (report.checkpoint / "step.txt").read_text() == str(step)
    assert seen == [None]
    given = start(train, {}, tmp_path / "own")
    given.next_report()
    assert (seen[1] / "step.txt").read_text() == "changed since"
    assert seen[1] != tmp_path / "own"


def test_a_return_and_an_exception_are_handed_over(start: Start) -> None:
    session = start(functions.short, {"lr": 1.0})
    assert [session.next_report() is None for _ in range(4)] == [False, False, False, True]
    session = start(functions.falls, {}, {"step": 2})
    with pytest.raises(RuntimeError, match="the rope broke") as raised:
        session.next_report()
    assert raised.traceback[-1].name == "falls"


@pytest.mark.parametrize(
    ("metrics", "checkpoint", "match"),
    [
        ({}, {"net": object()}, "must be JSON"),
        ({}, "nowhere", "'nowhere' is no folder"),
        ({}, 7, "a checkpoint is a dict, or the path of a folder"),
        ({"accuracy": "0.9"}, None, "metric accuracy is '0.9', no number"),
        ({"test": {"loss": np.ones(2)}}, None, "metric test/loss is"),
        ({"done": True}, None, "done: rltune reports that itself"),
        ({"wall_seconds": 1.0}, None, "wall_seconds: rltune reports that itself"),
        (0.9, None, "a report is a dict of numbers by name"),
        ({"a/b": 1.0, "a": {"b": 2.0}}, None, "metric a/b is reported twice"),
    ],
)
def test_a_wrong_report_is_refused_where_it_is_made(
    metrics: Any, checkpoint: Any, match: str, start: Start
) -> None:
    session = start(lambda _config: rltune.report(metrics, checkpoint=checkpoint), {})
    with pytest.raises((TypeError, ValueError), match=match) as raised:
        session.next_report()
    assert Path(__file__).name in {entry.path.name for entry in raised.traceback}  # type: ignore[union-attr]


def test_numbers_of_any_library_are_metrics() -> None:
    report = {
        "loss": torch.tensor(0.5, requires_grad=True),
        "test": {"accuracy": np.float32(0.25), "solved": True, "deep": {"count": np.int64(3)}},
        "note": "left out of a class's report",
        "history": [1, 2],
    }
    assert measured.numbers(report) == {
        "loss": 0.5,
        "test/accuracy": 0.25,
        "test/solved": 1.0,
        "test/deep/count": 3.0,
    }


def test_outside_of_a_trial_it_says_so(start: Start) -> None:
    for call in (lambda: rltune.report({"loss": 1.0}), rltune.get_checkpoint):
        with pytest.raises(RuntimeError, match="called outside of a trial"):
            call()

    def train(config: dict[str, Any]) -> None:
        told: list[Exception] = []

        def elsewhere() -> None:
            try:
                rltune.report({"loss": 1.0})
            except RuntimeError as error:
                told.append(error)

        helper = threading.Thread(target=elsewhere)
        helper.start()
        helper.join()
        rltune.report({"refused": bool(told)})

    assert start(train, {}).next_report() == Reported({"refused": True})


def test_a_function_that_exits_fails_its_trial_alone(start: Start) -> None:
    def leaves(config: dict[str, Any]) -> None:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match=r"ended with SystemExit\(3\)"):
        start(leaves, {}).next_report()
