"""What a report can tell of settings from: a run's own trials, or the landscape that ships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltune.reports.plots import trials
from rltune.reports.plots.axes import position
from rltune.reports.plots.base import Row, grouped
from rltune.reports.run_view import RunView
from rltune.simulator.shipped import landscape_of
from rltune.simulator.table import Curve


@dataclass(frozen=True)
class Evidence:
    """Rows as :func:`rltune.reports.plots.trials.rows` has them, and whose they are.

    Attributes:
        trials: rows of each trial, one for each setting.
        source: whose trials they are, in words; empty for the run's own.
    """

    trials: Sequence[Sequence[Row]] = ()
    source: str = ""

    @classmethod
    def of(cls, run: RunView, at_least: int) -> Evidence:
        """The run's trials; where there are fewer than it takes, or they changed their settings,
        those of the landscape that ships for its preset. None where both are too few."""
        own = list(grouped(trials.rows(run), "trial").values())
        if len(own) >= at_least:
            return cls(own)
        measured = _landscape(run) if run.searches else cls()
        return measured if len(measured.trials) >= at_least else cls()


def _landscape(run: RunView) -> Evidence:
    """The mean over the seeds of each of its settings."""
    table = landscape_of(run.spec)
    if table is None:
        return Evidence()
    measured = list(table.measured())
    seeds = min(len(curves) for _, curves in measured)
    steps = min(curve.env_steps[-1] for _, curves in measured for curve in curves)
    return Evidence(
        [_rows(run, f"{number:02d}", *one) for number, one in enumerate(measured)],
        f"the landscape that ships with rltune: {len(measured)} settings on {seeds} seeds each, "
        f"{int(steps):,} environment steps",
    )


def _rows(
    run: RunView, name: str, settings: Mapping[str, Any], curves: Sequence[Curve]
) -> list[Row]:
    return [
        {
            "trial": name,
            "setting": setting,
            "value": settings[setting],
            "position": position(parameter, settings[setting]),
            "score": float(np.mean([curve.scores[-1] for curve in curves])),
            "env_steps": int(min(curve.env_steps[-1] for curve in curves)),
            "wins": False,
        }
        for setting, parameter in run.spec.space.items()
    ]
