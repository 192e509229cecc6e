"""What a GPU runs as CUDA graphs: held to their rules on a CPU, and on a GPU beside plain calls.

A graph repeats what one call did to memory: it must read no number back, and the calls before its
capture must leave no trace. That its tensors stay where they are: see test_member_group.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from quick import GPUS
from test_groups import _config
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rltune.algorithms.groups import make_group
from rltune.engine.population.captured import Captured, Graphs

pytestmark = pytest.mark.usefixtures("one_thread")
on_a_cpu = pytest.mark.skipif(GPUS > 0, reason="on a GPU they are graphs")

ENDS: dict[str, Any] = {"env": "endings:Ends", "env_config": {"longest": 4}}
IMAGES: dict[str, Any] = {
    "env": "endings:Ends",
    "env_config": {"image": True},
    "observation_filter": "NoFilter",
}
STEERED: dict[str, Any] = {"env": "endings:Ends", "env_config": {"longest": 4, "continuous": True}}
ATOMS = {"num_atoms": 11, "v_min": -5.0, "v_max": 5.0}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("ppo", {"env": "cartpole", "num_epochs": 2, "vf_share_layers": True, "minibatch_size": 64}),
    ("ppo", {"env": "pendulum", "num_epochs": 2, "noise_correlation": 0.5, "use_kl_loss": True}),
    ("ppo", {**ENDS, "num_epochs": 2, "grad_clip": 0.5, "grad_clip_by": "norm"}),
    ("ppo", IMAGES),
    ("dqn", {"env": "cartpole", "noisy": True, **ATOMS}),
    ("dqn", {"env": "cartpole", "prioritized_replay": False, "grad_clip": 1.0}),
    ("dqn", {**ENDS, "dueling": True, "double_q": True, "frame_stack": 3}),
    ("dqn", IMAGES),
    ("sac", {"env": "pendulum", "prioritized_replay": False}),
    ("sac", {**STEERED, "twin_q": False, "grad_clip": 0.5, "grad_clip_by": "value"}),
]


def _group(case: tuple[str, dict[str, Any]], device: str = "cpu") -> Any:
    algo, changes = case
    changes = dict(changes)
    env = changes.pop("env")
    configs = [_config(algo, env, seed, **changes) for seed in range(3)]
    return make_group(configs, torch.device(device))[0]


class Device(TorchDispatchMode):
    """Refuses operations that take or make a tensor elsewhere than on a device.

    torch itself copies one of the host to the device, which a capture cannot.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves((args, kwargs, result)):
            if isinstance(each, torch.Tensor):
                assert each.device.type == self._device, f"{func} of {each.device}"
        return result


@on_a_cpu
@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_is_read_back(case: tuple[str, dict[str, Any]]) -> None:
    """A tensor on the meta device has no numbers, and works with no tensor of another device."""
    group = _group(case, "meta")
    learner = group.learner
    group.write_hyperparameters()
    functions = {name: it for name, it in vars(learner).items() if isinstance(it, Captured)}
    assert len(functions) == 5
    if not group.sampler.within_step:  # there are no last observations to keep
        functions.pop("_keep_last", None)
    with Device("meta"):
        for _ in range(2):
            for function in functions.values():
                function()
    assert learner.numbers
    with pytest.raises(RuntimeError, match="meta"):
        learner.weights.flat.sum().item()


@on_a_cpu
@pytest.mark.parametrize("case", [case for case in CASES if case[1] is not IMAGES], ids=str)
def test_calls_before_a_capture_leave_no_trace(
    case: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []

    def warm(captured: Captured) -> None:
        captured._warm_up()
        captured._function()
        called.append(captured)

    whole = _trained(_group(case))
    monkeypatch.setattr(Captured, "__call__", warm)
    warmed = _trained(_group(case))
    assert called
    _check_same(whole, warmed)


@pytest.mark.skipif(not GPUS, reason="on a CPU there are no graphs")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_graphs_do_what_plain_calls_do(
    case: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    graphs = _trained(_group(case, "cuda"))
    monkeypatch.setattr(Captured, "__call__", lambda captured: captured._function())
    _check_same(_trained(_group(case, "cuda")), graphs)


def _trained(group: Any) -> Any:
    """After some rounds, episodes that were finished, and a restart."""
    for _ in range(5):
        group.round()
    group._ended[1] = []  # an interval in which no episode has ended
    group.finish_episodes([1])
    group.restart(2, 5, 100)
    for _ in range(2):
        group.round()
    return group


def _check_same(group: Any, other: Any) -> None:
    assert group.env_steps.tolist() == other.env_steps.tolist()
    _check_equal(group.learner.tensors(), other.learner.tensors())
    _check_equal(group.learner.numbers, other.learner.numbers)
    if hasattr(group.learner, "replay"):
        for member in range(3):
            _check_equal(group.learner.replay.take(member), other.learner.replay.take(member))


def _check_equal(these: Mapping[str, torch.Tensor], those: Mapping[str, torch.Tensor]) -> None:
    assert these.keys() == those.keys()
    for name, tensor in these.items():
        torch.testing.assert_close(tensor, those[name], rtol=0, atol=0, equal_nan=True, msg=name)


class Graph:
    """In place of torch's, which need a GPU: notes what is asked of it."""

    def __init__(self) -> None:
        self.replayed, self.ended = 0, False

    def pool(self) -> int:
        return 7

    def replay(self) -> None:
        self.replayed += 1

    def reset(self) -> None:
        self.ended = True


class Stream:
    """In place of torch's."""

    def __init__(self, device: Any = None) -> None:
        pass

    def wait_stream(self, other: Any) -> None:
        pass


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What torch is told to capture, and in which stream and pool, without a GPU."""
    told: list[dict[str, Any]] = []

    def graph(graph: Graph, **options: Any) -> Any:
        told.append({"graph": graph, **options})
        return nullcontext()

    for name, fake in {
        "Stream": Stream,
        "CUDAGraph": Graph,
        "graph": graph,
        "current_stream": Stream,
        "stream": lambda stream: nullcontext(),
        "synchronize": lambda device: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return told


def test_graphs_of_one_learner_share_what_no_other_one_has(
    captures: list[dict[str, Any]],
) -> None:
    """A stream of all learners' would lose its workspaces with the graphs of one (torch 2.13)."""
    one, other = (Graphs(torch.device("cuda")) for _ in range(2))
    functions = [Captured(lambda: None, list, graphs) for graphs in (one, one, other)]
    for function in [*functions, functions[0]]:
        function()
    assert len(captures) == 3
    streams, pools = ([told[name] for told in captures] for name in ("stream", "pool"))
    assert streams[0] is streams[1] is not streams[2]
    assert pools == [None, 7, None], "that of its first one"
    assert [told["graph"].replayed for told in captures] == [2, 1, 1]
    one.close()
    assert [told["graph"].ended for told in captures] == [True, True, False]


def test_a_capture_that_fails_is_not_replayed(captures: list[dict[str, Any]]) -> None:
    """First in a call before the capture, which is undone, then in the capture."""
    number, calls = torch.zeros(1), []

    def count() -> None:
        number.add_(1)
        calls.append(len(captures))
        if len(calls) in (1, 4):
            raise torch.OutOfMemoryError

    function = Captured(count, lambda: [number], Graphs(torch.device("cuda")))
    with pytest.raises(torch.OutOfMemoryError):
        function()
    assert number == 0
    with pytest.raises(torch.OutOfMemoryError):
        function()
    assert calls == [0, 0, 0, 1]
    function()
    assert [told["graph"].replayed for told in captures] == [0, 1]
