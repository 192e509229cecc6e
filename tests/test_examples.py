"""The commands of examples/, of the README and of every page of docs/ do what they say."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer
from conftest import ROOT, Cli, run_rltune

from rltune import catalog, spec
from rltune.cli.app import app
from rltune.request.rehearsal import rehearse
from rltune.runs.json_text import dumps, loads

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


#: Pages whose commands are tried elsewhere, and two of measurements that take hours.
OF_THEIR_OWN = (
    *("benchmarks.md", "methods.md", "environments.md", "functions.md", "from-ray-tune.md"),
)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in PAGES}
#: Blocks of a shell, lines by themselves, and cells of tables.
BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^(?:\$ )?rltune (.+)$", re.MULTILINE)
CELL = re.compile(r"\| `rltune ([^`]+)` (?=\|)")


def _commands(text: str) -> list[str]:
    blocks = [words for block in BLOCK.findall(text) for words in LINE.findall(block)]
    plain = (shlex.join(shlex.split(words.partition(" > ")[0], comments=True)) for words in blocks)
    return [*plain, *COMMAND.findall(text), *CELL.findall(text)]


OF_PAGES = list(
    dict.fromkeys(
        words
        for name, text in TEXTS.items()
        if name not in OF_THEIR_OWN
        for words in _commands(text)
    )
)
#: Commands without ``--dry-run``, whose words alone are checked.
READ = ("board", "evaluate", "export", "list", "play", "report", "resume", "show", "watch")
#: Commands that are not run by hand: a server, one that writes into presets/, and other machines.
NEVER_RUN = re.compile(r"^(board|certify)|--address|--gpus-per-trial")
#: Neither a window nor an account.
ALONE = {"SDL_VIDEODRIVER": "dummy", "WANDB_MODE": "offline"}
#: What those commands name.
OWN_CODE = """
import gymnasium as gym
import numpy as np
import rltune


class Robot(gym.Env):
    observation_space = action_space = gym.spaces.Box(-1, 1, (2,))

    def __init__(self, size=1):
        self.size = size

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, True, False, {"is_success": True, "drawdown": 0.1}


MyEnv = Book = Robot


class Printer(rltune.Callback):
    pass


def train(config):
    for step in range(30):
        rltune.report({"accuracy": config["lr"] * step})
"""
REGISTERED = "import gymnasium\ngymnasium.register('my-env-v0', 'my_env:MyEnv')\n"


def _block(page: str, language: str, start: str) -> str:
    """A block of a page, the first in a language that starts so."""
    blocks = re.findall(rf"```{language}\n(.+?)```", TEXTS[page], re.DOTALL)
    return str(next(block for block in blocks if block.startswith(start)))


def _write_own_code(folder: Path) -> None:
    for name in ("robot", "book", "printer", "my_train", "my_env"):
        (folder / f"{name}.py").write_text(OWN_CODE)
    (folder / "my_module.py").write_text(REGISTERED)
    (folder / "space.toml").write_text("lr = { log = [1e-5, 1e-2] }\n")
    (folder / "lights.py").write_text(_block("own-environment.md", "python", "import gymnasium"))
    (folder / "lights.toml").write_text(_block("own-environment.md", "toml", "[budget]"))
    (folder / "zoo.toml").write_text(_block("from-rl-zoo3.md", "toml", "[budget]"))


@pytest.mark.parametrize("words", OF_PAGES)
def test_a_command_of_a_page_is_accepted(words: str, cli: Cli, tmp_path: Path) -> None:
    command, *others = shlex.split(words)
    if command in READ:
        typer.main.get_command(app).commands[command].make_context(command, others)  # type: ignore[attr-defined]
        return
    _write_own_code(tmp_path)
    for name in re.findall(r"runs/([\w-]+)", words):
        run = tmp_path / "runs" / name
        shutil.copytree(ROOT / "tests/data/runs_0_1/finished", run)
        (run / "best/preset.toml").write_text("[settings]\nlr = 1e-3\n")
        if "--from" in words:  # its trials had smaller networks
            asked = loads((run / "run.json").read_text())
            preset = catalog.preset("ppo", catalog.environment("cartpole"))
            asked["settings"]["fcnet_hiddens"] = preset.settings["fcnet_hiddens"]
            (run / "run.json").write_text(dumps(asked))
    trusted = ["--trust"] if command in ("extend", "replay") else []
    dry = ["--dry-run"] if command != "recipe" else []
    done = cli(command, *others, *dry, *trusted, variables=ALONE)
    no_gpu = "--gpus-per-trial" in words and "this machine has no GPU" in done.stderr
    assert done.returncode == 0 or no_gpu, done.stderr


#: The runs that those commands continue or read, and what keeps each of the commands short.
POPULATION = "--scheduler pbt --trials 3 --steps 6000 --perturb-every 2000"
BEFORE = {
    "first": "ppo cartpole --scheduler asha --searcher tpe --trials 2 --steps 2000",
    "second": "ppo cartpole --scheduler fifo --searcher random --trials 2 --steps 2000",
    "NAME": f"ppo cartpole {POPULATION}",
    "first-run": f"dqn cartpole {POPULATION}",
    "lights": f"ppo lights.py:Lights {POPULATION}",
}
FEW_EPISODES = "--episodes 2 --selection-episodes 1"
SHORT = {"replay": "", "extend": "--time-budget 15", "tune": "--time-budget 15"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    _write_own_code(folder)
    for name, words in BEFORE.items():
        done = run_rltune(
            folder, *shlex.split(f"{words} --target inf {FEW_EPISODES} --name {name}")
        )
        assert done.returncode == 0, done.stderr
    for name in ("A", "B", "a"):
        shutil.copytree(folder / "runs/first", folder / "runs" / name)
    return folder


@pytest.mark.by_hand
@pytest.mark.parametrize("words", [words for words in OF_PAGES if not NEVER_RUN.search(words)])
def test_a_command_of_a_page_runs(words: str, page: Path) -> None:
    words = re.sub(r" --name [\w-]+", "", words)  # its run is there already
    command = words.split()[0]
    dry = command in (*READ, "recipe") or "--dry-run" in words
    short = "" if dry else SHORT.get(command, f"--time-budget 15 {FEW_EPISODES}")
    done = run_rltune(page, *shlex.split(f"{words} {short}"), variables=ALONE)
    assert done.returncode == 0, done.stderr
    assert dry or "best" in done.stdout


def _rehearsed(cli: Cli, words: str) -> None:
    """Asks for a run as a person types it, and plays what it would train."""
    done = cli(*shlex.split(words), "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    rehearse(spec.RunSpec.from_dict(loads(done.stdout)))


def test_every_example_has_a_command() -> None:
    assert {path for path, _ in COMMANDS} == set(EXAMPLES)
