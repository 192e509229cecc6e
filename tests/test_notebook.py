"""A notebook shows a sweep in one line that changes, and a run as a table: real cells, a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import CLUSTER, ROOT, environment, import_path
from nbclient import NotebookClient

import rltune
from rltune.errors import BadInput

SWEEP = """
import rltune, functions
space = {"lr": {"log": [1e-3, 1.0]}}
run = rltune.tune(functions.climb, space, metric="height", trials=3, steps=4, concurrent=1,
                  storage=STORAGE, name="made", address=ADDRESS)
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory, cluster_address: str) -> list[Any]:
    """The outputs of each cell."""
    storage = tmp_path_factory.mktemp("runs")
    book = nbformat.v4.new_notebook()
    first = f"STORAGE, ADDRESS = {str(storage)!r}, {cluster_address!r}" + SWEEP
    shown = ["run", "run.figure('best-so-far')", "run.dataframe().tail(2)", "run.path"]
    book.cells = [nbformat.v4.new_code_cell(source) for source in (first, *shown)]
    variables = environment() | CLUSTER | {"PYTHONPATH": import_path(ROOT, ROOT / "tests")}
    NotebookClient(book, timeout=300, kernel_name="python3").execute(env=variables)
    return [cell.outputs for cell in book.cells]


@pytest.mark.slow
def test_a_sweep_is_one_line_without_noise(cells: list[Any]) -> None:
    (line,) = cells[0]
    assert line.output_type == "display_data"
    assert list(line.data) == ["text/plain"], "whatever is drawn in a notebook reads it"
    assert "ended" in line.data["text/plain"]
    assert "best" in line.data["text/plain"]


@pytest.mark.slow
def test_a_run_is_a_table_with_curves_and_its_plots_are_figures(cells: list[Any]) -> None:
    (table,), (figure,), (frame,) = cells[1:4]
    html = table.data["text/html"]
    assert html.count("<tr>") == 4
    assert "★" in html
    assert "█" in html
    assert "application/vnd.plotly.v1+json" in figure.data
    assert "settings/lr" in frame.data["text/html"]


@pytest.mark.slow
def test_outside_of_a_notebook_nothing_is_drawn(cells: list[Any]) -> None:
    path = cells[4][0].data["text/plain"].removeprefix("PosixPath('").removesuffix("')")
    run = rltune.load(Path(path))
    reports = run.dataframe()
    assert len(reports) == 12
    assert list(reports["env_steps"])[:4] == [1, 2, 3, 4]
    assert reports["height"].notna().all()
    with pytest.raises(BadInput, match=r"Unknown plot 'lineag'.*lineage"):
        run.figure("lineag")
    with pytest.raises(BadInput, match="plot lineage: it has nothing to show"):
        run.figure("lineage")
