"""Commands that are printed work when they are pasted, and so do best/preset.toml files (79)."""

from __future__ import annotations

import math
import shlex
import textwrap
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, import_path
from conftest import run_rltune as run_plainly
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rltune.envs.arguments import encode
from warm import run_rltune

from rltune import catalog
from rltune.catalog import toml
from rltune.cli.outcome import outcome
from rltune.cli.parse import pairs, value
from rltune.policies.preset_file import preset_toml
from rltune.request.resolve import make_spec
from rltune.runs import commands
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import BestPolicy, Evaluation, Summary
from rltune.spec import JobSpec, RunSpec

texts = st.text() | st.sampled_from(
    ["inf", "1e5", "true", "'", '"', "\x7f\0\n", "a=b", "$HOME", ""]
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> RunSpec:
    return make_spec("ppo", "cartpole", storage=tmp_path_factory.mktemp("a b"), name="a")


def words_of(command: str) -> dict[str, list[str]]:
    """The options of a command line, each with its values."""
    words = shlex.split(command)
    found: dict[str, list[str]] = {}
    for option, word in pairwise(words):
        if option.startswith("--"):
            found.setdefault(option, []).append(word)
    return found


def with_args(spec: RunSpec, env_args: dict[str, Any]) -> RunSpec:
    """A request with other arguments of its environment."""
    return replace(spec, env_options=replace(spec.env_options, env_args=encode(env_args)))


@pytest.mark.fault(79)
@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), plain, max_size=3))
def test_any_argument_can_be_typed_again(spec: RunSpec, env_args: dict[str, Any]) -> None:
    asked = with_args(spec, env_args)
    typed = words_of(commands.environment(asked)).get("--env-arg", [])
    assert encode(pairs("--env-arg", typed, "")) == asked.env_options.env_args
    assert commands.unsayable(asked) == []


@pytest.mark.fault(79)
def test_arguments_that_cannot_be_typed_are_named(spec: RunSpec) -> None:
    asked = with_args(spec, {"a=b": 1, "table": "x" * 200_000, "half": "\ud800"})
    assert commands.unsayable(asked) == ["a=b", "table", "half"]
    assert "--env-arg" not in commands.environment(asked)


@pytest.mark.fault(79)
def test_imports_files_simulators_and_folders_are_in_the_command(tmp_path: Path) -> None:
    lander = make_spec("ppo", "lunarlander", simulator="gymnasium", storage=tmp_path / "my runs")
    imports = replace(lander.env_options, imports=("c", "d"))
    mine = replace(lander, env="my env.py:Mine", env_id="/a b/my env.py:Mine", env_options=imports)
    assert words_of(commands.with_preset(lander, "x y.toml")) == {
        "--simulator": ["gymnasium"],
        "--preset": ["x y.toml"],
    }
    command = commands.with_preset(mine, "p.toml", train=True)
    assert shlex.split(command)[:4] == ["rltune", "train", "ppo", "/a b/my env.py:Mine"]
    assert words_of(command)["--import"] == ["c", "d"]


@pytest.mark.fault(79)
def test_commands_are_not_cut_in_a_narrow_window(spec: RunSpec) -> None:
    asked = with_args(spec, {"words": ["long " * 30]})
    best = BestPolicy(
        trial="t00", config=dict(spec.settings), checkpoint="best/checkpoint", env_steps=3, score=1
    )
    summary = Summary(
        best=best,
        evaluation=Evaluation(1.0, 1.0, (0.0, 2.0), 3, [], []),
        env_steps=3,
        wall_seconds=1.0,
        trials=[],
        stop_reason="the end",
    )
    preset = Path(spec.storage) / "a/best/preset.toml"
    preset.parent.mkdir(parents=True)
    preset.touch()
    console = Console(width=40, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    console.print(outcome(asked, JobSpec(), summary), crop=False)
    console.file.close()
    folder = RunFolder(f"{spec.storage}/a")
    command = commands.with_preset(asked, f"{folder.relative}/best/preset.toml", train=True)
    assert command in console.export_text().splitlines()


@pytest.mark.fault(79)
@settings(deadline=None)
@given(plain.filter(lambda v: v is not None))
def test_values_written_as_toml_are_read_back(something: Any) -> None:
    encoded = encode({"x": something})["x"]
    try:
        text = toml.written(encoded)
    except ValueError:
        assert "None" in repr(encoded)
    else:
        assert "\n" not in text
        assert value(text) == encoded


@pytest.mark.fault(79)
def test_a_preset_file_is_read_back_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "preset.toml"
    spec = make_spec(
        "ppo",
        "shapes:Maze",
        env_args={"max_episode_steps": 9, "disable_env_checker": "a\nb"},
        storage=tmp_path,
        settings={
            "lr": [[0, 1e-3], [20_000, 0.0]],
            "grad_clip": math.inf,
            "num_epochs": 3,
        },
        space={
            "fcnet_hiddens": {"choice": [[32], [64, 64]]},
            "gamma": {"one_minus_log": [0.9, 0.999]},
            "fcnet_activation": {"choice": ["relu", "tanh"]},
        },
        steps=20_000,
        target=math.inf,
        trials=3,
        time_budget=7.0,
    )
    found = {**spec.settings, "fcnet_hiddens": [32], "gamma": 0.99900000001}
    path.write_text(preset_toml(spec, found, None))
    read = catalog.preset("ppo", catalog.environment("shapes:Maze"), str(path))
    assert dict(read.settings) == {**found, "gamma": 0.999}
    assert {n: p.domain() for n, p in read.space.items()} == {
        name: parameter.domain() for name, parameter in spec.space.items()
    }
    assert read.space.constraints == spec.space.constraints
    assert read.budget == replace(spec.budget, time_budget=None)
    assert catalog.override(read, {}, {}, {}).settings["lr"] == [[0, 1e-3], [20_000, 0.0]]


ENV = """\
import gymnasium as gym
import numpy as np

class Walk(gym.Env):
    def __init__(self, length, name="", table=None):
        assert name == "it's \\"here\\"", name
        assert table == {"a": [1.5, float("inf")], "b": "inf"}, table
        self.length = length
        self.observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.zeros(2, np.float32), 1.0, self.count >= self.length, False, {}

gym.register("Walk-v0", Walk)
"""
QUICK = """\
[budget]
steps = 512
trials = 1
scheduler = "fifo"
target = inf
[settings]
train_batch_size = 256
minibatch_size = 64
num_envs_per_env_runner = 2
"""


@pytest.mark.fault(79)
@pytest.mark.slow
def test_every_command_under_next_trains_the_same_environment(
    tmp_path: Path, cluster_address: str
) -> None:
    (tmp_path / "walks.py").write_text(textwrap.dedent(ENV))
    (tmp_path / "quick.toml").write_text(QUICK)
    words = ["--import", "walks", "--preset", "quick.toml", "--storage", "my runs", "--name", "a"]
    args = ["length=7", 'name=it\'s "here"', "table={a=[1.5, inf], b='inf'}"]
    typed = [word for each in args for word in ("--env-arg", each)]
    done = run_rltune(tmp_path, "ppo", "Walk-v0", *words, *typed, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.partition("Next\n")[2].splitlines()
    assert [line.split()[1] for line in shown] == ["train", "evaluate", "play", "board"]
    spec = RunFolder.open(tmp_path / "my runs" / "a").spec
    paths = {"PYTHONPATH": import_path(tmp_path, ROOT)}
    scored = run_plainly(tmp_path, *shlex.split(shown[1])[1:], "--json")
    assert scored.returncode == 0, scored.stderr
    assert '"mean": 7.0' in scored.stdout
    again = [*shlex.split(shown[0])[1:], "--seeds", "1", "--name", "b"]
    done = run_rltune(tmp_path, *again, variables=paths, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    repeated = RunFolder.open(tmp_path / "runs" / "b")
    assert repeated.spec.env_options.env_args == spec.env_options.env_args
    assert repeated.spec.settings == spec.settings
    assert repeated.spec.budget.steps == 512
    assert repeated.summary_contents["evaluation"]["mean"] == 7.0
    first = done.stdout.partition("Next\n")[2].splitlines()[0]
    checked = run_rltune(tmp_path, *shlex.split(first)[1:], "--dry-run")
    assert checked.returncode == 0, checked.stderr
    exported = run_rltune(tmp_path, "export", "my runs/a", "--preset", "best of all.toml")
    assert exported.returncode == 0, exported.stderr
    command = exported.stdout.partition(": ")[2]
    checked = run_rltune(tmp_path, *shlex.split(command)[1:], "--dry-run")
    assert checked.returncode == 0, checked.stderr
