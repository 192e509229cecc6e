"""``rltune evaluate RUN``."""

from __future__ import annotations

import logging
from pathlib import Path

from rltune.cli import console
from rltune.cli.console import number
from rltune.runs import RunFolder


def run(*, run_path: Path, episodes: int, seed: int | None, json: bool) -> None:
    """Prints the score of a run's best policy."""
    folder = RunFolder.open(run_path)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    from rltune import evaluation  # RLlib's networks take seconds to import

    result = evaluation.evaluate(folder, episodes, seed)
    if json:
        console.print_json(result.to_dict())
        return
    out = console.output()
    low, high = result.ci95
    out.print(
        f"{number(result.mean)} mean return, 95 % interval [{number(low)}, {number(high)}], "
        f"IQM {number(result.iqm)}, over {result.episodes} episodes of {folder.spec.env_id}",
        soft_wrap=True,
    )
