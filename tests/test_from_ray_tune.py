"""The pages for users of Ray Tune and Optuna, and the examples of functions, on real Ray."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import ray.tune
from conftest import ROOT
from ray.tune import ExperimentAnalysis

import rltune
from rltune import api
from rltune.cli import main
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec

PAGE = "".join((ROOT / f"docs/from-{tool}.md").read_text() for tool in ("ray-tune", "optuna"))
BLOCKS = re.findall(r"<!-- (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL)
#: Blocks that are whole scripts, by their name.
SCRIPTS = {name: code for name, code in BLOCKS if "/" not in name and name != "ReportCallback"}
COMMAND = re.compile(r"^    rltune ((?:.*\\\n)*.*)$", re.MULTILINE)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, from which a user's modules are imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def script(name: str) -> ModuleType:
    """Runs a script of the page."""
    module = f"page_{re.sub('[^a-z]', '_', name)}"
    Path(f"{module}.py").write_text(SCRIPTS[name].replace('__name__ == "__main__"', "True"))
    return import_module(module)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Makes sweeps from Python short: so many trials, of so many steps."""
    run = api.runner.run

    def shortened(trials: int, steps: int) -> None:
        def short(spec: RunSpec, *others: Any) -> RunFolder:
            budget = replace(spec.budget, trials=trials, steps=steps)
            resources = replace(spec.resources, concurrent=1)  # one process to start
            return run(replace(spec, budget=budget, resources=resources), *others)

        monkeypatch.setattr(api.runner, "run", short)

    return shortened


def test_every_block_is_tried() -> None:
    assert set(SCRIPTS) == {
        *("tune.run", "rltune.tune", "rltune.sweep"),
        *("tune.run.keras", "tune.report"),
        *("my_train", "optuna"),
    }
    blocks = re.findall(r"```python", PAGE)
    assert len(blocks) == len(BLOCKS)
    for name, code in BLOCKS:
        if "/" in name:
            example = (ROOT / name).read_text()
            lines = [line.strip() for line in example.splitlines()]
            assert [line for line in code.splitlines() if line.strip() not in lines] == []


@pytest.fixture
def one(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes searches of Tune's short: one trial, which reports once."""
    run = ray.tune.run
    short = {"stop": {"training_iteration": 1}, "num_samples": 1}
    quiet = {"verbose": 0, "storage_path": str(here)}
    monkeypatch.setattr(ray.tune, "run", lambda *a, **kw: run(*a, **(kw | short | quiet)))


def test_an_algorithm_takes_its_place_in_a_script_of_tune(one: None) -> None:
    analysis: ExperimentAnalysis = script("tune.run").analysis
    assert analysis.best_result["episode_reward_mean"] > 8
    assert analysis.best_config["train_batch_size"] in {32, 64, 128}


def test_the_same_script_runs_under_rltune(few: Callable[[int, int], None]) -> None:
    few(1, 1_000)
    run: rltune.Run = script("rltune.tune").run
    assert run.best["score"] > 8
    assert 1e-5 <= run.best["config"]["lr"] <= 1e-4
    assert run.best["config"]["train_batch_size"] in {32, 64, 128}


def test_a_sweep_of_the_same_space_is_made(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    specs: list[RunSpec] = []

    def run(spec: RunSpec, *_: Any) -> RunFolder:
        specs.append(spec)
        return RunFolder(here)

    monkeypatch.setattr(api.runner, "run", run)
    script("rltune.sweep")
    (spec,) = specs
    assert {"lr", "train_batch_size"} <= set(spec.space)


def test_a_function_of_tune_moves_over_as_it_is(few: Callable[[int, int], None]) -> None:
    few(2, 5)
    run: rltune.Run = script("tune.report").run
    assert run.best["score"] > 0.7
    assert [trial["env_steps"] for trial in run.trials] == [5, 5]


def test_an_objective_of_optuna_moves_over(few: Callable[[int, int], None]) -> None:
    few(2, 30)
    sys.modules.pop("my_train", None)  # of another test, from another folder
    Path("my_train.py").write_text(SCRIPTS["my_train"])
    assert script("optuna").study.best_value > 0.5
    assert script("my_train").run.best["score"] <= 1


def tuned(example: str, *words: str) -> rltune.Run:
    """Runs the command of an example, with other words after its own."""
    shutil.copy(ROOT / "examples" / example, ".")
    (command,) = COMMAND.findall(Path(example).read_text())
    line = shlex.split(command.replace("\\\n", " "))
    with pytest.raises(SystemExit) as ended:  # one trial at a time: one process
        main([*line, *words, "--concurrent", "1", "--name", "a", "--quiet"])
    assert ended.value.code == 0
    return rltune.load("runs/a")


def test_scikit_learn_needs_no_integration() -> None:
    run = tuned("digits_sklearn.py", "--trials", "2")
    assert run.best["score"] > 0.3
    assert [trial["env_steps"] for trial in run.trials] == [5, 5]


def test_pytorch_needs_no_integration() -> None:
    run = tuned("digits_torch.py", "--trials", "3", "--steps", "6", "--perturb-every", "2")
    exploits = [each for each in run.folder.decisions() if each.moved_weights]
    assert exploits
    assert run.best["score"] > 0.8
    assert (run.path / run.best["checkpoint"] / "files/state.pt").is_file()


def test_keras_reports_in_a_script_of_tune_too(one: None) -> None:
    shutil.copy(ROOT / "examples/mnist_keras.py", ".")
    example = import_module("mnist_keras")
    ray.cloudpickle.register_pickle_by_value(example)  # Ray's processes run already
    analysis: ExperimentAnalysis = script("tune.run.keras").analysis
    assert 0 < analysis.best_result["mean_accuracy"] <= 1
    assert analysis.best_config["hidden"] == 128


def test_keras_reports_each_epoch_until_the_target_is_reached() -> None:
    run = tuned("mnist_keras.py", "--trials", "5", "--steps", "2", "--target", "0.8")
    point = {"rate": 0.01, "hidden": 128, "activation": "relu"}
    assert run.trials[0]["config"] == point
    assert all(trial["config"] != point for trial in run.trials[1:])
    rows = [row for trial in run.folder.trials() for row in run.folder.reports(trial)]
    assert all(row.metrics.keys() == {"mean_accuracy"} for row in rows)
    assert run.summary["stop_reason"] == "target"
    assert run.best["score"] == max(row.metrics["mean_accuracy"] for row in rows) >= 0.8
