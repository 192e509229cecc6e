"""A run, as Python has it: its request, its results, its report and its plots."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rltune.policies import evaluation
from rltune.reports.dataframe import dataframe
from rltune.reports.figure import figure
from rltune.reports.run_view import RunView
from rltune.reports.write import write_report
from rltune.request.trust import check_trusted
from rltune.run.table import run_table
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import Evaluation

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("rltune")


class Run:
    """A run: its request and its results.

    >>> run = rltune.load("runs/finished")
    >>> run.best["trial"]
    't01'
    >>> run.evaluate(episodes=2).episodes
    2

    Attributes:
        folder: the run folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"Run({str(self.folder.path)!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows: what came out, and the trials with their curves."""
        return run_table(RunView.read(self.path))

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def summary(self) -> dict[str, Any]:
        """Contents of summary.json; empty while the run is not finished."""
        return self.folder.summary_contents

    @property
    def best(self) -> dict[str, Any]:
        """The best trial: ``trial``, ``config``, ``checkpoint``, ``score``."""
        return dict(self.summary.get("best") or {})

    @property
    def front(self) -> list[dict[str, Any]]:
        """The Pareto front of several objectives: ``trial``, ``values``, ``config`` of each."""
        return list(self.summary.get("front") or [])

    @property
    def trials(self) -> list[dict[str, Any]]:
        """Every trial: ``id``, ``status``, ``env_steps``, ``score``, ``config``, ``error``."""
        return list(self.summary.get("trials", []))

    def evaluate(self, episodes: int | None = None, seed: int | None = None) -> Evaluation:
        """Evaluates the best policy on fresh seeds; see rltune.policies.evaluation.evaluate.

        Logs a warning if the environment did not finish every episode.

        Raises:
            BadInput: the run is another user's and would run their code, see :func:`trust`.
        """
        check_trusted(self.folder)
        result = evaluation.evaluate(self.folder, episodes, seed)
        if result.unscored:
            logger.warning("%s: %s", self.folder.shown, evaluation.what_is_missing(result))
        return result

    def report(self, output: str | Path | None = None) -> Path:
        """Writes the report of the run as it is now; report.json beside it holds the same.

        Args:
            output: where to, a file that ends in .html; report.html in the run folder by default.

        Returns:
            Its path.
        """
        return write_report(self.path, None if output is None else Path(output))

    def dataframe(self) -> pd.DataFrame:
        """Every report of every trial, a row each; see :mod:`rltune.reports.dataframe`."""
        return dataframe(self.folder)

    def figure(self, name: str, facet: str | None = None) -> Any:
        """A plot of the report, as a plotly figure, which a notebook shows.

        >>> run = rltune.load("runs/finished")
        >>> type(run.figure("best-so-far")).__name__
        'Figure'

        Args:
            name: of the plot, as that of its file, like "learning-curves" or "lineage".
            facet: which one of a plot of several, like the setting of "slices"; the first by
                default.

        Raises:
            BadInput: there is none of that name, or it does not apply to this run: with those that
                there are.
        """
        return figure(RunView.read(self.path), name, facet)
