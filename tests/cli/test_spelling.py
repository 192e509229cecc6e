"""Options are spelled by the command line alone, in its help and in messages."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from pathlib import Path

import pytest
import typer
from conftest import ROOT
from typer.core import TyperGroup, TyperOption

from rltune.cli.app import app
from rltune.cli.options import OF_TRAINING
from rltune.cli.spelling import spelling, typed
from rltune.errors import keyword
from rltune.options import OPTIONS

#: Modules that write whole command lines.
COMMAND_LINES = {
    "rltune/runs/commands.py",
    "rltune/runs/checkpoints.py",
    "rltune/reports/next_steps.py",
}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("env_timeout must be above 0", "--env-timeout must be above 0"),
        ("settings lr: expected a number", "--set lr: expected a number"),
        ("imports mine: ImportError", "--import mine: ImportError"),
        ("callbacks mine:Mine: ImportError", "--callback mine:Mine: ImportError"),
        ("point 1: 'lr' is not searched", "--point 1: 'lr' is not searched"),
        ("with `env_timeout=SECONDS`.", "with --env-timeout SECONDS."),
        ("another `storage`", "another --storage"),
        (f"use {keyword(scheduler='fifo')}", "use --scheduler fifo"),
        (f"Try {keyword(settings={'lr': [[0, 0.1]]})}", "Try --set 'lr=[[0, 0.1]]'"),
        (
            f"Try {keyword(settings={'normalize_rewards': True})}",
            "Try --set normalize_rewards=true",
        ),
        ("add `imports=['MODULE']`", "add --import MODULE"),
        ("on all the same with `force=True`", "on all the same with --force"),
        ("the seed of `make` is `seeded`", "the seed of `make` is `seeded`"),
        ("namespace must be", "namespace must be"),
    ],
)
def test_a_message_names_options_as_they_are_typed(message: str, shown: str) -> None:
    assert typed(message) == shown


@pytest.mark.parametrize(("command", "names"), [("sweep", OPTIONS), ("train", OF_TRAINING)])
def test_help_has_every_option(command: str, names: Iterable[str]) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    shown = {parameter.name: parameter for parameter in group.commands[command].params}
    for name in names:
        parameter = shown[name]
        assert isinstance(parameter, TyperOption)
        assert spelling(name) in parameter.opts
        assert str(parameter.help).startswith(OPTIONS[name].help)


def _files() -> list[Path]:
    found = [*(ROOT / "rltune").rglob("*.py"), *(ROOT / "envs").rglob("*.py")]
    return [path for path in found if "cli" not in path.relative_to(ROOT).parts]


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_below_the_command_line_spells_an_option(path: Path) -> None:
    if str(path.relative_to(ROOT)) in COMMAND_LINES:
        return
    texts = [
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    for name in OPTIONS:
        for text in texts:
            assert f"{spelling(name)} " not in f"{text} ", inspect.cleandoc(text)
