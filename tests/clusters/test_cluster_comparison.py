"""What a cluster's nodes lack, on tables of their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rltune.clusters.comparison import Needs
from rltune.clusters.nodes import Answer
from rltune.clusters.own_code import OwnCode

HERE = {"packages": {"torch": "2.9", "numpy": "2.4"}, "rltune": "abc"}
GOOD: dict[str, Any] = {**HERE, "modules": [], "own": [], "storage": "", "cuda": "12.8"}
OWN = OwnCode(Path("/home/me"), "", (Path("my_env.py"),), "my_env.py")


def _needs(gpus: float = 0.0) -> Needs:
    wanted = {"modules": ["ale_py"], "file": "/mnt/runs/a/run.json"}
    return Needs([OWN], wanted, HERE, gpus)


def _answers(**other: Any) -> list[Answer]:
    """Of two nodes, of which the second has something other than this machine."""
    return [Answer("10.0.0.1", GOOD, 1.0), Answer("10.0.0.2", {**GOOD, **other}, 1.0)]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"packages": {"torch": None, "numpy": "2.4"}}, "torch is not installed on 10.0.0.2"),
        ({"modules": ["ale_py"]}, "module ale_py cannot be found on 10.0.0.2"),
        ({"storage": "is not there"}, "storage /mnt/runs: the run folder is not there on 10.0.0.2"),
        ({"storage": "cannot be written"}, "the run folder cannot be written on 10.0.0.2"),
        ({"cuda": ""}, "gpus_per_trial 0.5: torch cannot use the GPU of 10.0.0.2"),
    ],
)
def test_what_cannot_be_shipped_is_refused(other: dict[str, Any], words: str) -> None:
    (problem,) = _needs(gpus=0.5).problems(_answers(**other))
    assert problem.startswith(words) or words in problem
    assert "10.0.0.1" not in problem


def test_alike_nodes_are_taken_as_they_are() -> None:
    needs, answers = _needs(gpus=1), _answers()
    assert needs.problems(answers) == []
    assert needs.differences(answers) == ""
    assert not needs.lacking(answers)[0]


def test_torch_without_cuda_does_where_no_gpu_is_asked_for() -> None:
    assert _needs().problems(_answers(cuda="")) == []


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        ({"rltune": None}, "rltune "),
        ({"rltune": "other code of the same version"}, "rltune "),
        ({"own": [0]}, "my_env.py"),
        ({"own": [0], "rltune": None}, " and my_env.py"),
    ],
)
def test_code_is_shipped(other: dict[str, Any], shown: str) -> None:
    shipment, nodes = _needs().lacking(_answers(**other))
    assert shown in shipment.shown
    assert nodes == ["10.0.0.2"]


def test_other_versions_are_named() -> None:
    told = _needs().differences(_answers(packages={"torch": "2.9", "numpy": "2.3"}))
    assert told == "numpy 2.3 on 10.0.0.2 (2.4 here)"


def test_of_many_nodes_the_first_are_named() -> None:
    answers = [Answer(f"10.0.0.{n}", {**GOOD, "modules": ["ale_py"]}) for n in range(9)]
    (problem,) = _needs().problems(answers)
    assert "10.0.0.0, 10.0.0.1, 10.0.0.2 and 6 more" in problem


def test_a_node_that_does_not_answer_lacks_nothing_known() -> None:
    silent = [*_answers(), Answer("10.0.0.3", None, error="no answer")]
    assert not _needs().lacking(silent)[0]
    assert _needs().problems(silent) == []
