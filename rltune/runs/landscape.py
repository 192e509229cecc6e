"""The table of a landscape: every report of every trial beside its settings, as CSV."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rltune.runs.folder import RunFolder
from rltune.runs.json_text import dumps

#: The table's file in the run folder.
TABLE = "landscape.csv.gz"


@dataclass(frozen=True)
class Trained:
    """A trial of a landscape.

    Attributes:
        settings: what was searched.
        seed: number of its seed: settings are trained on the same ones.
    """

    trial: str
    settings: Mapping[str, Any]
    seed: int


def write_table(folder: RunFolder, trials: Sequence[Trained]) -> None:
    """Writes a run's table: settings, ``seed``, ``env_steps``, ``seconds``, the metric, its last.

    :meth:`rltune.simulator.Table.from_csv` reads it, with the metric's name as ``score``. A trial
    that diverged ends with NaN. Reports before the first episode has ended have no row.
    """
    goal, space = folder.spec.goal, folder.spec.space
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*space, "seed", "env_steps", "seconds", goal.name, "final_score"])
    for one in trials:
        rows = list(_rows(folder, one.trial))
        settings = [_cell(one.settings[name]) for name in space]
        for env_steps, seconds, value in rows:
            final = f"{rows[-1][2]:.6g}"
            writer.writerow(
                [*settings, one.seed, env_steps, f"{seconds:.4g}", f"{value:.6g}", final]
            )
    # Without the time in it the same run has the same bytes.
    packed = gzip.compress(text.getvalue().encode(), mtime=0)
    (folder.path / TABLE).write_bytes(packed)


def _rows(folder: RunFolder, trial: str) -> Iterator[tuple[int, float, float]]:
    goal = folder.spec.goal
    for row in folder.reports(trial):
        value = math.nan if row.diverged else goal.of(row.measured)
        if value is not None:
            yield row.env_steps, row.train_seconds, value


def _cell(value: Any) -> str:
    """A setting as the simulator's table reads it again."""
    if isinstance(value, float):
        return repr(value)
    return value if isinstance(value, str) else dumps(value)
