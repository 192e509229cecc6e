"""Writes reports: report.html, report.json, and each plot as files of its own."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from rltune.errors import BadInput, MachineError
from rltune.policies import output_files
from rltune.reports import document, static
from rltune.reports.comparison import Comparison
from rltune.reports.drawings import Drawing, Sections, drawn
from rltune.reports.html import page
from rltune.reports.plots.axes import Axes
from rltune.reports.plots.table import OF_A_RUN, OF_SEVERAL_RUNS
from rltune.reports.run_view import RunView
from rltune.runs.folder import RunFolder
from rltune.runs.json_text import dumps

#: The report of a run, in its folder.
NAME = "report.html"


@dataclass(frozen=True)
class RunReport:
    """The report of a run, or of several beside each other.

    Attributes:
        content: what it says, as report.json holds it.
        sections: its plots.
    """

    content: Mapping[str, Any]
    sections: Sections

    @classmethod
    def of(cls, *runs: Path | str) -> Self:
        """Makes the report of a run, finished or not; of several, their comparison.

        Raises:
            BadInput: one is no run folder, or a damaged one, or they cannot be compared.
        """
        views = [RunView.read(run) for run in runs]
        if len({view.folder.path for view in views}) < len(views):
            raise BadInput("a run is named twice: it is compared with others")
        if len(views) > 1:
            compared = Comparison.of(views)
            sections = drawn(OF_SEVERAL_RUNS, compared, Axes(compared.goal))
            return cls(document.of_runs(compared, sections), sections)
        (view,) = views
        sections = drawn(OF_A_RUN, view, view.axes)
        return cls(document.of_run(view, sections), sections)

    def concluding(self, sentence: str) -> Self:
        """The same report with this verdict, of a test that knows more than the runs tell."""
        verdict = f"{sentence}."
        return replace(self, content={**self.content, "verdict": verdict, "sure": [verdict]})

    def write(self, path: Path) -> Path:
        """Writes the page, and beside it the same as JSON.

        Raises:
            BadInput: the file's name does not end in .html.
            MachineError: it cannot be written.
        """
        if path.suffix.lower() != ".html":
            raise BadInput(f"{path}: name a file that ends in .html")
        texts = {path: page(self.content, self.sections)}
        texts[path.with_suffix(".json")] = dumps(self.content) + "\n"
        for target, text in texts.items():
            with output_files.whole(target) as part:
                part.write_text(text, encoding="utf-8")
        RunFolder(path.parent).send(*(target.name for target in texts))
        return path

    def write_plots(self, folder: Path, suffix: str) -> list[Path]:
        """Writes each figure as a picture, and the rows of each plot as CSV.

        Args:
            folder: made where it is missing; files of the same names are replaced.
            suffix: ".svg" or ".png".

        Returns:
            The files, pictures first.

        Raises:
            BadInput: matplotlib is not installed.
            MachineError: a file cannot be written.
        """
        static.check_can_draw()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MachineError(f"{folder} cannot be made: {error.strerror or error}") from error
        drawings = [one for of in self.sections.values() for one in of if one.rows]
        paths: list[Path] = []
        for drawing in drawings:
            for facet, figure in drawing.figures.items():
                name = "-".join(part for part in (drawing.plot.name, _plain(facet)) if part)
                while folder / f"{name}{suffix}" in paths:
                    name += "-again"  # two settings whose names differ in what no file can hold
                title = ": ".join(part for part in (drawing.plot.title, facet) if part)
                with output_files.whole(folder / f"{name}{suffix}") as part:
                    static.draw(figure, title, part)
                paths.append(folder / f"{name}{suffix}")
        return paths + [_write_rows(drawing, folder) for drawing in drawings]


def write_report(run: Path | str, output: Path | None = None) -> Path:
    """Writes the report of a run; report.html in its folder, unless ``output`` says where."""
    return RunReport.of(run).write(output or Path(run) / NAME)


def _write_rows(drawing: Drawing, folder: Path) -> Path:
    path = folder / f"{drawing.plot.name}.csv"
    with output_files.whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(drawing.rows[0]))
        table.writeheader()
        table.writerows(drawing.rows)
    return path


def _plain(name: str) -> str:
    """A setting's name as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(name)).strip("-.")
