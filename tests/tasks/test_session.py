"""A plain function in a thread of its own, one report at a time."""

from __future__ import annotations

import json
from typing import Any

import functions
import pytest

from rltune.tasks.session import Session


def _alive(session: Session) -> bool:
    return session._thread.is_alive()


def test_it_trains_no_further_than_its_next_report() -> None:
    reached = []

    def train(config: dict[str, Any], session: Session) -> None:
        for step in range(3):
            reached.append(step)
            session.report({"step": step, **config}, state=[step])

    session = Session(train, {"lr": 1.0})
    assert reached == []
    assert session.next_report() == ({"step": 0, "lr": 1.0}, "[0]")
    assert reached == [0]
    assert session.next_report() == ({"step": 1, "lr": 1.0}, "[1]")
    session.end()
    assert not _alive(session)
    assert reached == [0, 1]


def test_it_continues_from_a_state_as_if_it_had_never_stopped() -> None:
    whole, first = (Session(functions.climb, {"lr": 1e-3}) for _ in range(2))
    reports = [whole.next_report() for _ in range(4)]
    (_, _), (_, state) = [first.next_report() or ({}, "") for _ in range(2)]
    second = Session(functions.climb, {"lr": 1e-3}, json.loads(state))
    assert [second.next_report() for _ in range(2)] == reports[2:]
    for session in (whole, first, second):
        session.end()
        assert not _alive(session)


def test_a_return_and_an_exception_are_handed_over() -> None:
    session = Session(functions.short, {"lr": 1.0})
    assert [session.next_report() is None for _ in range(4)] == [False, False, False, True]
    session = Session(functions.falls, {}, {"step": 2})
    with pytest.raises(RuntimeError, match="the rope broke") as raised:
        session.next_report()
    assert raised.traceback[-1].name == "falls"


def test_a_state_that_is_not_json_is_refused_where_it_is_reported() -> None:
    session = Session(lambda _config, session: session.report({}, state=object()), {})
    with pytest.raises(TypeError, match="must be JSON"):
        session.next_report()


def test_a_function_that_exits_fails_its_trial_alone() -> None:
    def leaves(config: dict[str, Any], session: Session) -> None:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match=r"ended with SystemExit\(3\)"):
        Session(leaves, {}).next_report()
