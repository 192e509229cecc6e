"""Functions that a sweep can run: at the top of a module, as a user's are."""

from __future__ import annotations

import math
from typing import Any

from rltune.tasks.session import Session


def climb(config: dict[str, Any], session: Session) -> None:
    """Climbs at a rate that lr decides; the best one drifts."""
    state = session.state or {"step": 0, "level": 0.0}
    step, level = state["step"], state["level"]
    while True:
        best = -3.5 + step / 40
        level += math.exp(-((math.log10(config["lr"]) - best) ** 2))
        step += 1
        session.report({"height": level, "step": step}, state={"step": step, "level": level})


def short(config: dict[str, Any], session: Session) -> None:
    """Returns after three reports."""
    for step in range(3):
        session.report({"height": config["lr"] * step})


def falls(config: dict[str, Any], session: Session) -> None:
    """Fails at its third report, from wherever it starts."""
    step = (session.state or {"step": 0})["step"]
    while True:
        step += 1
        if step == 3:
            raise RuntimeError("the rope broke")
        session.report({"height": float(step)}, state={"step": step})


def trips(config: dict[str, Any], session: Session) -> None:
    """Climbs, but falls at once where lr is small."""
    if config["lr"] < 1e-4:
        raise RuntimeError("the rope broke")
    climb(config, session)


def dives(config: dict[str, Any], session: Session) -> None:
    """Reports a number that is not finite."""
    session.report({"height": 1.0}, state=1)
    session.report({"height": math.nan}, state=2)


def silent(config: dict[str, Any], session: Session) -> None:
    """Returns without a report."""


def leaps(config: dict[str, Any], session: Session) -> None:
    """Counts 250 steps for each report."""
    steps = session.state or 0
    while True:
        steps += 250
        session.report({"height": float(steps), "env_steps": steps}, state=steps)
