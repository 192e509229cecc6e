"""What every task of the table keeps."""

from __future__ import annotations

import json
from pathlib import Path

import functions
import pytest

from rltune.request.functions import function_spec
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec
from rltune.tasks import TASKS, task_of
from rltune.tasks.resume import check_resumable


def _function(storage: Path) -> RunSpec:
    return function_spec(
        functions.climb,
        space={"lr": {"log": [1e-5, 1e-2]}, "shape": {"choice": ["flat", "steep"]}},
        metric="height",
        **{"scheduler": "pbt", "steps": 12, "perturb_every": 4},
        settings={"rope": 30},
        storage=storage,
        name="a",
    )


ACTIVATION = {"choice": ["relu", "tanh"], "default": "tanh"}
SPECS = {
    "rl": lambda storage: make_spec(
        "ppo", "cartpole", storage=storage, name="a", space={"fcnet_activation": ACTIVATION}
    ),
    "several": lambda storage: make_spec(
        "ppo",
        "cartpole,acrobot",
        **{"storage": storage, "name": "a"},
        space={"fcnet_activation": ACTIVATION},
    ),
    "function": _function,
    "rllib": lambda storage: function_spec(
        "DQN",
        space={"lr": {"log": [1e-4, 1e-2]}, "dueling": {"choice": [True, False]}},
        metric="episode_reward_mean",
        settings={"env": "CartPole-v1"},
        **{"scheduler": "pbt", "steps": 4_000, "storage": storage, "name": "a"},
    ),
}


@pytest.fixture(params=TASKS)
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> RunSpec:
    """A request of each task; a new one needs a line of SPECS."""
    return SPECS[request.param](tmp_path)


def test_a_request_finds_its_task_also_from_run_json(spec: RunSpec) -> None:
    assert type(task_of(spec)) is TASKS[spec.task]
    assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))).task == spec.task
    folder = RunFolder.create(spec)
    assert folder.spec.settings == spec.settings
    assert RunFolder.open(folder.path).spec.space.to_dict() == spec.space.to_dict()
    check_resumable(folder)
    folder.lock.release()


def test_a_population_changes_a_part_of_the_space(spec: RunSpec) -> None:
    mutable = task_of(spec).mutable()
    assert {*mutable} <= {*spec.space}
    assert mutable
    structural = {"fcnet_activation", "dueling"} & {*spec.space}
    assert not structural & {*mutable}


def test_the_fingerprint_is_json_and_names_what_is_trained(spec: RunSpec) -> None:
    found = task_of(spec).fingerprint()
    assert json.loads(json.dumps(found)) == found
    assert spec.env_id in found.values()
    assert {f"space.{name}" for name in spec.space} <= found.keys()
    assert {f"settings.{name}" for name in {*spec.settings} - {*spec.space}} <= found.keys()
    assert task_of(spec).fingerprint() == found


def test_a_trial_gets_its_cpus(spec: RunSpec) -> None:
    task = task_of(spec)
    assert task.needs() == {"CPU": task.cpus}
    request = task.trainable.default_resource_request({**task.config((), 1.5), **spec.settings})
    assert request.bundles[0]["CPU"] == 1.5


def test_the_scheduler_of_a_population_saves_it(spec: RunSpec) -> None:
    assert spec.budget.scheduler in ("pb2", "pbt")
    assert task_of(spec).checkpoint_frequency() == 0
