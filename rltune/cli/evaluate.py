"""``rltune evaluate RUN...``."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from rltune.cli import console
from rltune.cli.opened import open_run
from rltune.cli.outcome import interval_in_words
from rltune.cli.outcome.environments import environments
from rltune.errors import EnvironmentFailed
from rltune.metric import Metric
from rltune.reports.numbers import bounds, number
from rltune.statistics import FEWEST_VALUES


def run(
    *, run_paths: Sequence[Path], episodes: int | None, seed: int | None, json: bool, trust: bool
) -> None:
    """Prints the score of a run's best policy, or several runs beside each other."""
    folders = [open_run(path, trust) for path in run_paths]
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    from rltune.policies import evaluation  # RLlib's networks take seconds to import

    if len(folders) > 1:
        found = evaluation.compare(folders, episodes, seed)
        console.print_json(found) if json else _print_comparison(found)
        return
    (folder,) = folders
    result = evaluation.evaluate(folder, episodes, seed)
    if json:
        console.print_json(result.to_dict())
    else:
        interval = interval_in_words(result.ci95, "episodes")
        console.output().print(
            f"{number(result.mean)} {folder.spec.goal.words}, {interval}, IQM "
            f"{number(result.iqm)}, over {result.episodes} episodes of {folder.spec.env_id}",
            soft_wrap=True,
        )
        for table in environments(folder.spec, result):
            console.output().print(table)
    if result.unscored:
        raise EnvironmentFailed(evaluation.what_is_missing(result))


def _print_comparison(found: dict[str, Any]) -> None:
    out = console.output()
    words = Metric(found["metric"], found["mode"]).words
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("run", "scores", "of", "IQM", "95 % interval", "better than the first"):
        table.add_column(name, overflow="fold")
    for body in found["runs"]:
        table.add_row(
            body["run"],
            number(len(body["scores"])),
            body["unit"],
            number(body["iqm"]),
            bounds(body["ci95"]),
            _chance(body["improvement"]),
        )
    out.print(table)
    out.print(
        f"Scores are the {words} of {found['episodes']} fresh episodes a policy, the same for "
        "all. Better than the first: the probability that a score of this run beats one of the "
        f"first, ties counting half. An interval takes {FEWEST_VALUES} scores.",
        style="dim",
    )


def _chance(improvement: dict[str, Any] | None) -> str:
    if improvement is None:
        return "-"
    low, high = improvement["ci95"]
    interval = "" if math.isnan(low) else f" [{low:.0%}, {high:.0%}]"
    return f"{improvement['probability']:.0%}{interval}"
