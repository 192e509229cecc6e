"""The trials of a search: what each setting was, and what it came to."""

from __future__ import annotations

from rltune.reports.plots.axes import position
from rltune.reports.plots.base import Row
from rltune.reports.run_view import RunView

#: Trials of a search that can be looked at setting by setting, at least.
FEWEST_TRIALS = 4


def rows(run: RunView) -> list[Row]:
    """A row for each ``trial`` and ``setting``: ``value``, ``position`` in its range, ``score``.

    The score is the metric in the trial's last report; one that diverged has none and is left
    out. So are populations: their members change settings while they train, so that none of them
    stands for a score.
    """
    if not run.searches or run.is_population or len(run.reports) < FEWEST_TRIALS:
        return []
    last = {trial: run.last_value(trial) for trial in run.reports}
    return [
        {
            "trial": trial,
            "setting": name,
            "value": run.settings_of(trial).get(name),
            "position": position(parameter, run.settings_of(trial).get(name)),
            "score": score,
            "env_steps": run.reports[trial][-1].env_steps,
            "wins": trial == run.winner,
        }
        for name, parameter in run.spec.space.items()
        for trial, score in last.items()
        if score is not None
    ]


def note(rows: list[Row]) -> str:
    """Warns where trials were stopped at different ages."""
    ages = {row["env_steps"] for row in rows}
    if max(ages) < 1.5 * min(ages):
        return ""
    return (
        f"Scores are those of each trial's last report, at {min(ages):,} to {max(ages):,} steps: "
        "a trial that was stopped early might have come further."
    )
