"""What nevergrad is told of failures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rltune.request.resolve import make_spec
from rltune.searchers import build
from rltune.searchers.history import History
from rltune.space import Constraint, Space, parse_parameter
from rltune.spec import RunSpec

pytest.importorskip("nevergrad")

#: Of every trial: one before the first score, one after it.
SCORES = (None, -200.0, -300.0, None, -100.0)


@pytest.fixture
def spec() -> RunSpec:
    bodies = {name: {"uniform": [0.0, 1.0]} for name in ("x", "y")}
    space = Space({name: parse_parameter(name, body) for name, body in bodies.items()})
    spec = make_spec("ppo", "cartpole", trials=40, seed=1, name="a")
    budget = replace(spec.budget, searcher="nevergrad")
    return replace(spec, space=space, settings={**spec.settings, "x": 0.5, "y": 0.5}, budget=budget)


def _losses(searcher: Any, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every loss that the library will be told."""
    losses: list[float] = []
    start = searcher.start

    def begin(seed: int) -> None:
        start(seed)
        tell = searcher._optimizer.tell

        def note(candidate: Any, loss: float) -> None:
            losses.append(loss)
            tell(candidate, loss)

        monkeypatch.setattr(searcher._optimizer, "tell", note)

    monkeypatch.setattr(searcher, "start", begin)
    return losses


def _run(searcher: Any, history: History, scores: tuple[float | None, ...]) -> None:
    """Trials one after the other."""
    for score in scores:
        number = len(history)
        name = f"t{number:02d}"
        history.started(name, searcher.suggest(number, history), seed=number)
        history.reported(name, 500, 0.0 if score is None else score)
        history.ended(name, failed=score is None)


def test_a_failure_is_never_the_best(spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    searcher, history = build(spec), History()
    losses = _losses(searcher, monkeypatch)
    _run(searcher, history, SCORES)
    searcher.suggest(len(SCORES), history)
    assert losses == [200.0, 200.0, 300.0, 300.0, 100.0]


def test_a_proposal_that_breaks_a_constraint_is_never_the_best(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = replace(spec, space=replace(spec.space, constraints=(Constraint.parse("x <= 0.01"),)))
    searcher, history = build(narrow), History()
    losses = _losses(searcher, monkeypatch)
    _run(searcher, history, (-200.0,))
    assert losses == [], "proposals that broke it before the first score are held back"
    searcher.suggest(1, history)
    assert {*losses} == {200.0}
    assert len(losses) > 4, "proposals that broke it before the first score, and after it"


@pytest.mark.parametrize("ended", range(1, len(SCORES)))
def test_another_searcher_continues_where_failures_are_held_back(spec: RunSpec, ended: int) -> None:
    searcher, history = build(spec), History()
    _run(searcher, history, (None, *SCORES)[:ended])
    number = len(history)
    assert build(spec).suggest(number, history) == searcher.suggest(number, history)
