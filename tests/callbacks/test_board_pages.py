"""TensorBoard's pages over runs of rltune, as ``rltune board`` serves them: over HTTP, and seen."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import functions
import pytest
from conftest import environment
from drawn import FIRST, SECOND, exploit, made, parts, report, tell

from rltune.cli.board import logdir
from rltune.request.functions import function_spec
from rltune.runs.folder import RunFolder

STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
NESTED = {"model": {"lr": {"log": [1e-5, 1e-2]}, "kind": {"choice": ["big", "small"]}}}


class Board(NamedTuple):
    """A board that is open, and the population that it shows."""

    url: str
    population: RunFolder

    def ask(self, path: str, **body: Any) -> Any:
        """What TensorBoard's server answers to its page."""
        kind = {"Content-Type": "application/json"}
        data = json.dumps(body).encode() if body else None
        with urlopen(Request(f"{self.url}data/{path}", data, kind), timeout=20) as answer:
            return json.load(answer)

    def columns(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("plugin/hparams/experiment", experimentName="")
        return found

    def rows(self) -> dict[str, tuple[dict[str, Any], dict[str, float]]]:
        """Settings and metrics of each row of the HPARAMS page."""
        columns = self.columns()
        shown = [{"hparam": each["name"]} for each in columns["hparamInfos"]]
        shown += [{"metric": each["name"]} for each in columns["metricInfos"]]
        wanted = {"colParams": shown, "startIndex": 0, "sliceSize": 100}
        found = self.ask("plugin/hparams/session_groups", allowedStatuses=STATUSES, **wanted)
        return {
            row["name"]: (
                row["hparams"],
                {each["name"]["tag"]: each["value"] for each in row["metricValues"]},
            )
            for row in found["sessionGroups"]
        }


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """Over a population and a search of a function with nested settings."""
    storage = tmp_path_factory.mktemp("boards")
    population = made(storage, "pbt")
    tell(population, *parts())
    spec = function_spec(functions.shaped, NESTED, metric="episode_reward_mean", storage=storage)
    search = RunFolder.create(spec)
    search.lock.release()
    tell(search, report("t00", 100, {"model/lr": 1e-3, "model/kind": "small"}))
    process = subprocess.Popen(
        [sys.executable, "-m", "rltune", "board", population.path, search.path, "--port", "0"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        opened = Board(found[0], population)
        runs = {*(f"pbt/{run}" for run in ("champion", "t00", "t01")), f"{search.path.name}/t00"}
        deadline = time.monotonic() + 60
        while set(opened.ask("runs")) != runs:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield opened
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def test_rows_hold_settings_in_effect_beside_the_newest_metrics(board: Board) -> None:
    rows = board.rows()
    searched, _ = next(row for name, row in rows.items() if name.startswith("tune-"))
    assert searched == {"model/lr": 1e-3, "model/kind": "small"}
    assert rows["pbt/t00"] == (FIRST, {"episode_reward_mean": 2.5})
    assert rows["pbt/t01"] == (SECOND, {"episode_reward_mean": 4.0})
    champion = {"episode_reward_mean": 4.0, "evaluation/mean": 450.0}
    assert rows["pbt/champion"] == (SECOND, champion)


def test_columns_are_those_of_every_run(board: Board) -> None:
    columns = board.columns()
    kinds = {
        each["name"]: each["type"].removeprefix("DATA_TYPE_") for each in columns["hparamInfos"]
    }
    assert kinds == {
        **{"lr": "FLOAT64", "num_epochs": "FLOAT64", "model/lr": "FLOAT64"},
        **{"fcnet_activation": "STRING", "model/kind": "STRING", "use_kl_loss": "BOOL"},
    }
    metrics = {each["name"]["tag"] for each in columns["metricInfos"]}
    assert metrics == {"episode_reward_mean", "evaluation/mean"}


def test_curves_have_environment_steps_on_their_x_axis(board: Board) -> None:
    path = "plugin/scalars/scalars?run=pbt%2Fchampion&tag=episode_reward_mean"
    assert [(step, value) for _, step, value in board.ask(path)] == [
        *((100, 1.0), (200, 2.0), (300, 3.0), (400, 4.0))
    ]


def test_the_pages_show_curve_champion_and_row(board: Board, chromium: Any) -> None:
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    errors: list[str] = []
    page.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{board.url}#timeseries")
    card = page.locator("card-view").filter(has_text="episode_reward_mean").first
    card.locator("line-chart path, line-chart canvas").first.wait_for()
    page.get_by_text("pbt/champion").first.wait_for()
    page.goto(f"{board.url}#hparams")
    page.get_by_text("fcnet_activation").first.wait_for()
    row = page.locator("vaadin-grid-cell-content").filter(has_text="pbt/champion")
    row.first.wait_for()
    page.get_by_text("450.00").first.wait_for()
    assert page.get_by_text("No hparams data was found").count() == 0
    assert errors == []
    page.close()


def test_an_exploit_changes_the_row_of_a_board_that_is_open(board: Board) -> None:
    assert board.rows()["pbt/t00"][0] == FIRST
    tell(board.population, exploit("t00", 300, "t01", 400), report("t00", 400, SECOND))
    assert board.rows()["pbt/t00"][0] == SECOND


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [tmp_path / where / "a, b:c" for where in ("left", "right")]
    for folder in folders:
        (folder / "trials/t00").mkdir(parents=True)
    with logdir(folders) as path:
        assert {str(run.relative_to(path)) for run in path.glob("*/*/*")} == {
            *("left/a, b:c/t00", "right/a, b:c/t00")
        }
    assert not path.exists()
    with logdir(folders[:1]) as path:
        assert path == folders[0] / "trials"
