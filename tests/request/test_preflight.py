"""A bad environment is refused before anything starts, with the line and the fix."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import faulty
import pytest

from rltune import catalog
from rltune.catalog.algorithms import algorithm
from rltune.errors import BadInput
from rltune.request.preflight import check_environment
from rltune.request.resolve import make_spec


def _said(name: str, timeout: float = 60.0, **env_args: Any) -> str:
    spec = catalog.environment(f"faulty:{name}")
    with pytest.raises(BadInput) as refused:
        check_environment(spec, algorithm("ppo"), env_args, timeout)
    said = str(refused.value)
    assert f"environment faulty:{name}" in said
    return said


def test_a_good_environment_passes(tmp_path: Path) -> None:
    assert make_spec("ppo", "faulty:Faulty", storage=tmp_path).env_id == "faulty:Faulty"


def test_resets_that_ignore_the_seed_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    check_environment(catalog.environment("faulty:Faulty"), algorithm("ppo"), {})
    assert "two resets" not in caplog.text
    check_environment(catalog.environment("authors:Unseeded"), algorithm("ppo"), {})
    assert "environment Unseeded: two resets with the same seed begin differently" in caplog.text


def test_a_mask_that_nobody_reads_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    check_environment(catalog.environment("authors:OddMask"), algorithm("ppo"), {})
    assert "authors:OddMask: its action_mask is read as a number like others" in caplog.text


def test_wrappers_with_running_statistics_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    spec = catalog.environment("authors:normalised")
    check_environment(spec, algorithm("ppo"), {"reward": True})
    assert "wrapped in NormalizeObservation: each copy has its own" in caplog.text
    assert "use `settings={'observation_filter': 'MeanStdFilter'}`" in caplog.text
    assert "use `settings={'normalize_rewards': True}`" in caplog.text


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("name", "wrong", "fix"),
    [
        ("OldStep", "step() returned 4 values, as old gym had it", "return `done` as terminated"),
        ("OldReset", "reset() returned an array of shape (3,)", "`return observation, {}`"),
        (
            "OldSeed",
            "reset() got an unexpected keyword argument 'seed'",
            "def reset(self, *, seed=",
        ),
        ("GrowingActions", "its action_space was Discrete(2) when it was made", "mask of legal"),
        ("NoReward", "step() returned None as reward", "float(reward)"),
        ("ObjectReward", "step() returned an object as reward", "float(reward)"),
        ("ArrayReward", "step() returned an array of shape (2,) as reward", "float(reward)"),
        ("WrongShape", "an observation of shape (3, 1), its space says (3,)", "Fix the obs"),
        ("WrongKind", "an observation of dtype float32, its space says uint8", "Fix the obs"),
        ("Outside", "an observation with 7 at [1], its space says [-1, 1]", "Fix the obs"),
        ("Text", "an observation of dtype <U7, its space says float32", "Fix the obs"),
    ],
)
def test_an_environment_that_breaks_the_api_is_refused(name: str, wrong: str, fix: str) -> None:
    said = _said(name)
    assert wrong in said
    assert fix in said


@pytest.mark.fault(19, 20)
@pytest.mark.parametrize(
    ("name", "where"),
    [("HangingMaker", "__init__"), ("HangingReset", "reset"), ("HoldingStep", "step")],
)
def test_a_hang_is_refused_with_the_line_where_it_hung(name: str, where: str) -> None:
    said = _said(name, timeout=1.0)
    assert "no answer for 1 s" in said
    assert f"in {where}" in said
    assert f"{Path(faulty.__file__).name}" in said
    assert "`env_timeout=SECONDS`" in said


@pytest.mark.fault(21)
def test_a_crash_stays_in_its_own_process() -> None:
    here = os.getpid()
    said = _said("Segfault")
    assert os.getpid() == here
    assert "it ended the process it was tried in, by SIGSEGV" in said


@pytest.mark.fault(99)
@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("exit", "SystemExit: 3 raised in step ("),
        ("interrupt", "KeyboardInterrupt raised in step ("),
        ("_exit", "the environment ended its process with exit code 3 (in step, "),
    ],
)
def test_an_environment_that_ends_its_process_is_refused_with_what_it_did(
    how: str, told: str
) -> None:
    assert told + faulty.__file__ in _said("Leaves", how=how)


def test_a_timeout_of_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="env_timeout must be above 0 seconds, got 0"):
        make_spec("ppo", "cartpole", storage=tmp_path, env_timeout=0)
