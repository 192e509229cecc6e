"""A run knows the files of its own environment or function, and says when they are others."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from conftest import ROOT
from sweeps.killed import start

from rltune.catalog import sources
from rltune.policies.evaluation import evaluate
from rltune.request.functions import function_spec
from rltune.request.resolve import make_spec

BRIEF = {"steps": 2_000, "trials": 1, "episodes": 2, "selection_episodes": 1, "report": False}


def test_what_is_installed_has_a_version_instead() -> None:
    for name in ("CartPole-v1", "gymnasium:Env", "gymnasium.envs.mujoco:AntEnv", "nowhere:X"):
        assert sources.digests(name) == {}, name


def test_a_file_that_changed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "slope.py"
    path.write_text("def train(config):\n    pass\n")
    spec = function_spec(f"{path}:train", {"lr": {"uniform": [0, 1]}}, metric="a", storage=tmp_path)
    assert len(spec.versions["slope.py"]) == sources.LENGTH
    assert sources.warning(spec) == ""
    path.write_text("def train(config):\n    return {'a': 1}\n")
    assert sources.warning(spec).startswith("slope.py has changed since the run started: ")


@pytest.mark.slow
def test_a_score_in_an_edited_environment_is_told(
    tmp_path: Path, cluster_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "limited.py"
    path.write_text((ROOT / "tests/envs/own.py").read_text())
    spec = make_spec(
        "ppo",
        f"{path}:Limits",
        **BRIEF,
        storage=tmp_path / "runs",
        name="a",
        address=cluster_address,
        scheduler="fifo",
    )
    folder = start(spec)
    evaluate(folder)
    assert "has changed" not in caplog.text
    path.write_text(path.read_text() + "# another one\n")
    with caplog.at_level(logging.WARNING):
        evaluate(folder)
    assert "limited.py has changed since the run started" in caplog.text
