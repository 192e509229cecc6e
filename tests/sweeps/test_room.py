"""What of a trial fits on which machine, on tables."""

from __future__ import annotations

from typing import Any

import pytest

from rltune.errors import BadInput
from rltune.request import capacity
from rltune.request.resolve import make_spec
from rltune.sweeps import room
from rltune.tasks import Task
from rltune.tasks.rl import RLTask

TWO_GPUS = {"CPU": 8.0, "GPU": 2.0, "memory": 8.0 * 2**30}
BARE = {"CPU": 8.0, "memory": 8.0 * 2**30}


def _task(tmp_path: Any, runners: int = 0, **asked: Any) -> Task:
    settings = {"num_env_runners": runners, "num_envs_per_env_runner": 1}
    asked = {"address": "auto", "storage": tmp_path, "trials": 4, "batch": "off", **asked}
    return RLTask(make_spec("dqn", "cartpole", settings=settings, **asked))


@pytest.mark.parametrize(
    ("gpus", "machines", "expected"),
    [
        (0.25, [TWO_GPUS], 8),
        (0.6, [TWO_GPUS], 2),
        (0.6, [TWO_GPUS, TWO_GPUS], 4),
        (0.1, [TWO_GPUS], 8),  # as many as there are CPUs
        (1 / 3, [TWO_GPUS], 6),
        (1, [TWO_GPUS, BARE], 2),
        (0, [TWO_GPUS, BARE], 16),
    ],
)
def test_processes_share_gpus(
    gpus: float,
    machines: list[dict[str, float]],
    expected: int,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "nodes", lambda: machines)
    task = _task(tmp_path, gpus_per_trial=gpus)
    assert room.processes(task) == expected
    room.check_fits(task)
    if len(machines) == 1 and gpus > 0:
        assert min(8, capacity._on_gpus(2, gpus)) == expected, "as a dry run says"


def test_runners_may_sit_beside_another_machines_gpu(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial of 1 GPU and 13 CPUs, on 16 CPUs of two machines."""
    monkeypatch.setattr(room, "nodes", lambda: [TWO_GPUS, BARE])
    task = _task(tmp_path, runners=12, gpus_per_trial=1)
    own, *others = task.bundles(1.0)
    assert (own, others) == ({"CPU": 1.0, "GPU": 1.0}, [{"CPU": 1.0}] * 12)
    assert room.processes(task) == 1
    room.check_fits(task)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"gpus_per_trial": 1}, "gpus_per_trial 1 GPU: no machine here has more than 0 GPU"),
        ({"runners": 20}, "learners takes 21 CPU: there are 16 CPU here"),
        ({"memory_per_trial": "9GiB"}, "memory_per_trial 9.0 GiB of memory: no machine here"),
    ],
)
def test_what_can_never_fit_is_refused(
    asked: dict[str, Any], words: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "nodes", lambda: [BARE, BARE])
    with pytest.raises(BadInput, match=words):
        room.check_fits(_task(tmp_path, **asked))


def test_what_no_single_machine_has_together_is_refused(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "nodes", lambda: [{"CPU": 1.0, "GPU": 1.0}, BARE])
    with pytest.raises(BadInput, match="a trial takes 2 CPU and 1 GPU: no machine here has all"):
        room.check_fits(_task(tmp_path, cpus_per_trial=2, gpus_per_trial=1))


@pytest.mark.parametrize("gpus", [2, 1.5])
def test_a_trial_trains_on_one_gpu(gpus: float, tmp_path: Any) -> None:
    with pytest.raises(BadInput, match="gpus_per_trial"):
        _task(tmp_path, gpus_per_trial=gpus)
