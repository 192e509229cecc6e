"""The reports of a run as a table of pandas."""

from __future__ import annotations

import pandas as pd

from rltune.runs.folder import RunFolder


def dataframe(folder: RunFolder) -> pd.DataFrame:
    """Every report of every trial, a row each, in the order of trials and of their clocks.

    Columns: ``trial``, ``training_iteration``, ``env_steps`` (on the trial's clock),
    ``env_steps_this_iter``, ``wall_seconds`` since the sweep began, ``train_seconds`` of the trial,
    every metric by its name, and every searched setting in effect as ``settings/<name>``.
    """
    rows = []
    for trial in folder.trials():
        for report in folder.reports(trial):
            row = {
                "trial": report.trial,
                "training_iteration": report.training_iteration,
                "env_steps": report.env_steps,
                "env_steps_this_iter": report.env_steps_this_iter,
                "wall_seconds": report.wall_seconds,
                "train_seconds": report.train_seconds,
            }
            settings = {f"settings/{name}": value for name, value in report.settings.items()}
            rows.append(row | report.measured | settings)
    return pd.DataFrame(rows)
