"""The commands of examples/ and of docs/environments.md do what they say."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, Cli, run_rltune

from rltune import spec
from rltune.request.rehearsal import rehearse
from rltune.runs.json_text import loads

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGE = (ROOT / "docs/environments.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^    rltune (.+)$", re.MULTILINE)
COMMANDS = [(path, words) for path in EXAMPLES for words in COMMAND.findall(path.read_text())]
#: Those of environments; the functions of the others are tuned in test_from_ray_tune.py.
OF_ENVIRONMENTS = [(path, words) for path, words in COMMANDS if not words.startswith("tune ")]


@pytest.mark.parametrize(
    ("path", "words"), OF_ENVIRONMENTS, ids=[words for _, words in OF_ENVIRONMENTS]
)
def test_a_command_of_an_example_works(
    path: Path, words: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(path, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as the command line does
    _rehearsed(cli, words)


def test_the_page_works_as_written(cli: Cli, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
    (tmp_path / "walk.py").write_text(code)
    (words,) = COMMAND.findall(PAGE)
    _rehearsed(cli, words)


#: Commands of docs/tuning.md: lines by themselves, and those in its tables.
TUNING = (ROOT / "docs/tuning.md").read_text(encoding="utf-8")
OF_TUNING = [*COMMAND.findall(TUNING), *re.findall(r"\| `rltune (.+?)` \|", TUNING)]
#: What those commands name.
OWN_CODE = """
import gymnasium as gym
import numpy as np
import rltune


class Robot(gym.Env):
    observation_space = action_space = gym.spaces.Box(-1, 1, (2,))

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, True, False, {"is_success": True, "drawdown": 0.1}


Book = Robot


class Printer(rltune.Callback):
    pass


def train(config):
    for step in range(30):
        rltune.report({"accuracy": config["lr"] * step})
"""


def _write_own_code(folder: Path) -> None:
    for name in ("robot", "book", "printer", "my_train"):
        (folder / f"{name}.py").write_text(OWN_CODE)
    (folder / "space.toml").write_text("lr = { log = [1e-5, 1e-2] }\n")


@pytest.mark.parametrize("words", OF_TUNING)
def test_a_command_of_the_tuning_page_is_accepted(words: str, cli: Cli, tmp_path: Path) -> None:
    _write_own_code(tmp_path)
    for name in ("first", "second", "NAME"):
        shutil.copytree(ROOT / "tests/data/runs_0_1/finished", tmp_path / "runs" / name)
    trusted = ["--trust"] if words.startswith(("extend", "replay")) else []
    done = cli(*shlex.split(words), "--dry-run", *trusted)
    assert done.returncode == 0, done.stderr


#: The runs that those commands continue, and what keeps each of the commands short.
BEFORE = {
    "first": "--scheduler asha --searcher tpe --trials 2 --steps 2000",
    "second": "--scheduler fifo --searcher random --trials 2 --steps 2000",
    "NAME": "--scheduler pbt --trials 3 --steps 6000 --perturb-every 2000",
}
FEW_EPISODES = "--episodes 2 --selection-episodes 1"
SHORT = {"replay": "", "extend": "--time-budget 15", "tune": "--time-budget 15"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    _write_own_code(folder)
    for name, words in BEFORE.items():
        done = run_rltune(
            folder, *shlex.split(f"ppo cartpole {words} --target inf {FEW_EPISODES} --name {name}")
        )
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.by_hand
@pytest.mark.parametrize("words", OF_TUNING)
def test_a_command_of_the_tuning_page_runs(words: str, page: Path) -> None:
    short = SHORT.get(words.split()[0], f"--time-budget 15 {FEW_EPISODES}")
    done = run_rltune(page, *shlex.split(f"{words} {short}"))
    assert done.returncode == 0, done.stderr
    assert "best" in done.stdout


def _rehearsed(cli: Cli, words: str) -> None:
    """Asks for a run as a person types it, and plays what it would train."""
    done = cli(*shlex.split(words), "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    rehearse(spec.RunSpec.from_dict(loads(done.stdout)))


def test_every_example_has_a_command() -> None:
    assert {path for path, _ in COMMANDS} == set(EXAMPLES)
