"""Where the processes of trials go: on two nodes with two GPUs each that only Ray believes in."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import forked_workers
import functions
import killed
import pytest
import ray
from conftest import CLUSTER, ROOT, environment, import_path
from ray._private.state import actors
from ray.cluster_utils import Cluster

from rltune.processes.torch_build import FAKE
from rltune.request.functions import function_spec
from rltune.request.resolve import make_spec

pytestmark = pytest.mark.usefixtures("no_ray_session")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    around = {
        **environment(),
        **CLUSTER,
        FAKE: "1",
        "PYTHONPATH": import_path(ROOT, Path(__file__).parents[1]),
        forked_workers.SOCKET: str(tmp_path_factory.mktemp("forked") / "workers"),
    }
    words: dict[str, Any] = {"num_gpus": 2, "setup_worker_path": forked_workers.__file__}
    server = subprocess.Popen([sys.executable, forked_workers.__file__, "serve"], env=around)
    cluster = Cluster(shutdown_at_exit=False)
    with mock.patch.dict(os.environ, around):
        cluster.add_node(num_cpus=8, include_dashboard=False, **words)
        cluster.add_node(num_cpus=8, **words)
    yield cluster.address
    cluster.shutdown()
    server.kill()
    server.wait()


def _places(tmp_path: Path, address: str, trials: int, **asked: Any) -> list[Mapping[str, Any]]:
    """What each trial of a sweep tells of its process."""
    spec = function_spec(
        functions.tells_where,
        {"x": {"uniform": [0, 1]}},
        metric="node",
        trials=trials,
        storage=tmp_path,
        name="a",
        address=address,
        report=False,
        **asked,
    )
    folder = killed.start(spec)
    return [folder.reports(trial)[0].metrics for trial in folder.trials()]


def _at_once(places: list[Mapping[str, Any]]) -> list[list[tuple[float, float]]]:
    """The nodes and GPUs of trials that ran at the same time, whenever one began."""
    return [
        [(o["node"], o["device"]) for o in places if o["began"] <= one["began"] < o["ended"]]
        for one in places
    ]


def test_parts_of_gpus_are_shared(tmp_path: Path, address: str) -> None:
    """One GPU has no room for two of 0.6, two have room for one each."""
    places = _places(tmp_path, address, trials=4, gpus_per_trial=0.6)
    for shared in _at_once(places):
        assert len(shared) == len(set(shared))
    assert {each["device"] for each in places} <= {0, 1}


def test_one_at_a_time_on_two_nodes(tmp_path: Path, address: str) -> None:
    """No node has all CPUs of the cluster."""
    places = _places(tmp_path, address, trials=2, concurrent=1)
    assert [len(shared) for shared in _at_once(places)] == [1, 1]
    assert {each["device"] for each in places} == {-1}, "no GPU was asked for"


@pytest.mark.by_hand
def test_eight_quarters_take_two_gpus(tmp_path: Path, address: str) -> None:
    places = _places(tmp_path, address, trials=8, gpus_per_trial=0.25)
    assert {each["device"] for each in places} == {0}
    assert max(max(Counter(shared).values()) for shared in _at_once(places)) <= 4


@pytest.mark.by_hand
@pytest.mark.parametrize(("placement", "nodes"), [("pack", {1}), ("spread", {2})])
def test_the_processes_of_a_trial_are_packed_or_spread(
    placement: str, nodes: set[int], tmp_path: Path, address: str
) -> None:
    """An environment runner beside the learner, or on the other node."""
    spec = make_spec(
        "ppo",
        "cartpole",
        trials=1,
        steps=20_000,
        scheduler="fifo",
        settings={"num_env_runners": 1, "num_envs_per_env_runner": 8},
        gpus_per_trial=1,
        placement=placement,
        storage=tmp_path,
        name="a",
        address=address,
        episodes=2,
        selection_episodes=1,
    )
    seen = _nodes_during(spec, address, 2)
    assert {len(set(each)) for each in seen} == nodes


@pytest.mark.by_hand
def test_batches_take_a_gpu_each(tmp_path: Path, address: str) -> None:
    spec = make_spec(
        "ppo",
        "cartpole",
        trials=8,
        steps=4_000,
        scheduler="fifo",
        gpus_per_trial=1,
        placement="spread",
        storage=tmp_path,
        name="a",
        address=address,
        episodes=2,
        selection_episodes=1,
    )
    seen = _nodes_during(spec, address, 4)
    assert {tuple(sorted(Counter(each).values())) for each in seen} == {(2, 2)}


def _nodes_during(spec: Any, address: str, processes: int) -> list[list[str]]:
    """The nodes of a sweep's processes, at each look at which all of them lived."""
    seen: list[list[str]] = []
    working = threading.Thread(target=killed.start, args=(spec,))
    working.start()
    ray.init(address, log_to_driver=False, namespace="looks")
    try:
        while working.is_alive():
            alive = [each for each in actors().values() if each["State"] == "ALIVE"]
            if len(alive) == processes:
                seen.append([each["Address"]["NodeID"] for each in alive])
            working.join(0.2)
    finally:
        ray.shutdown()
    assert seen
    return seen
