"""``rltune report RUN...``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rltune.cli import console
from rltune.cli.extras import need
from rltune.policies import output_files
from rltune.reports.write import NAME, RunReport
from rltune.runs.remote.location import shown


def run(
    *, run_paths: Sequence[Path], output: Path | None, plots: Path | None, form: str, json: bool
) -> None:
    """Writes a report, with its plots as files where they are asked for."""
    if plots is not None:
        need("plots", "matplotlib")
    path = output or (run_paths[0] / NAME if len(run_paths) == 1 else Path(NAME))
    if output is not None:
        output_files.check("--output", output, (".html",), overwrite=True)
    made = RunReport.of(*run_paths)
    made.write(path)
    files = made.write_plots(plots, f".{form}") if plots is not None else []
    if json:
        console.print_json({"report": shown(path), "plots": [str(file) for file in files]})
        return
    out = console.output()
    out.print(shown(path), soft_wrap=True)
    if files:
        out.print(f"{len(files)} files of plots in {plots}", soft_wrap=True)
