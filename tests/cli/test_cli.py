"""The command line: what is printed, and what a terminal shows."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, Cli, environment

from rltune.catalog.algorithms import ALGORITHMS
from rltune.cli import console
from rltune.cli.app import COMMANDS, app
from rltune.cli.parse import pairs, value
from rltune.errors import BadInput
from rltune.reports.numbers import number
from rltune.schedulers import SCHEDULERS
from rltune.schedulers.limits import bohb_state


def test_help_shows_every_command_and_the_main_job(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0
    assert "rltune dqn cartpole" in done.stdout
    for command in COMMANDS:
        assert command in done.stdout
    registered = {c.name or c.callback.__name__ for c in app.registered_commands if not c.hidden}
    assert registered == set(COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS, "dqn cartpole"])
def test_every_command_has_help(cli: Cli, command: str) -> None:
    done = cli(*command.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: rltune" in done.stdout


@pytest.mark.parametrize(
    "kind", ["presets", "algorithms", "environments", "schedulers", "searchers", "runs"]
)
def test_every_listing_can_be_json(cli: Cli, kind: str) -> None:
    done = cli("list", kind)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    rows = json.loads(cli("list", kind, "--json").stdout)[kind]
    assert bool(rows) == (kind != "runs")


def test_words_in_brackets_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Markup of rich's looks like an extra: pip install 'rltune[ax]' became 'rltune'."""
    console.output().print("pip install 'rltune[ax]'")
    console.output(json=True).print("[red]")
    console.messages.print("rltune[optuna]")
    printed = capsys.readouterr()
    assert printed.out == "pip install 'rltune[ax]'\n"
    assert printed.err == "[red]\nrltune[optuna]\n"


def test_schedulers_are_listed_with_their_state(cli: Cli) -> None:
    rows = json.loads(cli("list", "schedulers", "--json").stdout)["schedulers"]
    assert [row["name"] for row in rows] == [*SCHEDULERS, "replay"]
    states = {row["name"]: row["state"] for row in rows}
    assert states["median"] == "ready"
    assert states["replay"] == "a command: rltune replay RUN"
    assert states["bohb"] in ("ready", bohb_state())


def test_presets_are_listed_in_the_promised_form(cli: Cli) -> None:
    rows = json.loads(cli("list", "presets", "--json").stdout)["presets"]
    assert {"algo": "dqn", "env": "pong", "certificate": None} in rows
    (cartpole,) = (row for row in rows if (row["algo"], row["env"]) == ("dqn", "cartpole"))
    assert cartpole["certificate"].keys() >= {"share_over_threshold", "iqm", "ci95", "seeds"}
    assert not [row for row in rows if row["certificate"] and row["certificate"]["stale"]]


def test_show_says_where_each_value_comes_from(cli: Cli) -> None:
    shown = cli("show", "dqn", "cartpole", "--set", "tau=0.5").stdout
    lines = {line.split()[0]: line for line in shown.splitlines() if line.split()}
    assert "--set" in lines["tau"]
    assert "cartpole.toml" in lines["lr"]
    assert "log = [0.0003, 0.003]" in lines["lr"]
    assert "default.toml" in lines["dueling"]
    values = json.loads(cli("show", "dqn", "cartpole", "--json").stdout)
    assert values["settings"].keys() == ALGORITHMS["dqn"].settings.keys()
    assert values["sources"]["lr"] == "presets/dqn/cartpole.toml"


def test_a_dry_run_prints_the_request_and_starts_nothing(cli: Cli, tmp_path: Path) -> None:
    done = cli("dqn", "cartpole", "--dry-run", "--json", "--trials", "9", "--seed", "4")
    assert done.returncode == 0, done.stderr
    spec = json.loads(done.stdout)
    assert (spec["budget"]["trials"], spec["seed"]) == (9, 4)
    assert list(tmp_path.iterdir()) == []


def test_the_buffer_flag_is_a_setting(cli: Cli) -> None:
    for flag, wanted in (("--save-buffer", True), ("--no-save-buffer", False)):
        spec = json.loads(cli("dqn", "cartpole", "--dry-run", "--json", flag).stdout)
        assert spec["settings"]["save_buffer"] is wanted


def test_values_are_read_as_toml_or_as_text() -> None:
    assert value("1e-3") == 1e-3
    assert value("[64, 64]") == [64, 64]
    assert value("true") is True
    assert value("{log=[1e-5,1e-2]}") == {"log": [1e-5, 1e-2]}
    assert value("relu") == "relu"
    assert value("8x8") == "8x8"
    with pytest.raises(BadInput, match="--set lr=1e-3"):
        pairs("--set", ["lr"], "--set lr=1e-3")


def test_numbers_are_formatted_for_people() -> None:
    values = (None, 3, 9100.0, 257.68, 0.7033, 1e-6, -1.1e-16)
    assert [number(v) for v in values] == ["-", "3", "9,100", "257.7", "0.7033", "1e-06", "0"]


@pytest.mark.slow
def test_a_terminal_shows_one_live_table(tmp_path: Path) -> None:
    """Runs under a real pseudo-terminal and reads what a person would see."""
    master, slave = pty.openpty()
    words = (
        "ppo cartpole --trials 2 --steps 16000 --scheduler fifo --concurrent 1 --name tty".split()
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "rltune", *words],
        cwd=tmp_path,
        env={**environment(), "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "30"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    seen = b""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    assert process.wait(30) == 0
    os.close(master)
    text = seen.decode(errors="replace")
    assert "\x1b[" in text, "a terminal is drawn on"
    for word in ("trial", "state", "steps", "return", "lr", "t00", "t01", "running", "left"):
        assert word in text
    assert "95 % interval" in text
    assert "rltune board runs/tty" in text
    assert "raylet" not in text


def test_the_readme_commands_are_the_ones_ci_and_people_run() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    commands = {
        lines[i]: lines[i + 2] for i in range(len(lines) - 2) if lines[i].startswith("<!--")
    }
    assert commands["<!-- main job -->"].endswith("python -m rltune dqn cartpole")
    assert commands["<!-- tests -->"].endswith("scripts/check")
    assert all(command.startswith("python3 -m venv .venv && ") for command in commands.values())
    got = subprocess.run(
        ["awk", "/^<!-- tests -->$/ {getline; getline; print; exit}", "README.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert got == commands["<!-- tests -->"]
    assert "/^<!-- tests -->$/ {getline; getline; print; exit}" in (ROOT / ".ci/run").read_text()
