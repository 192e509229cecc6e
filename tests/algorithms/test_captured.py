"""What a GPU would run as CUDA graphs, held to their rules on a CPU.

A graph repeats what one call did to memory: it must read no number back, and the calls before its
capture must leave no trace. That its tensors stay where they are: see test_member_group.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from quick import GPUS
from test_groups import _config

from rltune.algorithms.groups import make_group
from rltune.engine.population.captured import Captured

pytestmark = [
    pytest.mark.skipif(GPUS > 0, reason="on a GPU they are graphs"),
    pytest.mark.usefixtures("one_thread"),
]

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
    for _ in range(2):
        for function in functions.values():
            function()
    assert learner.numbers
    with pytest.raises(RuntimeError, match="meta"):
        learner.weights.flat.sum().item()


@pytest.mark.parametrize("case", [case for case in CASES if case[1] is not IMAGES], ids=str)
def test_calls_before_a_capture_leave_no_trace(
    case: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, warmed = _group(case), _group(case)
    called = []

    def warm(captured: Captured) -> None:
        captured._warm_up()
        captured._function()
        called.append(captured)

    def go(group: Any) -> None:
        for _ in range(5):
            group.round()
        group._ended[1] = []  # an interval in which no episode has ended
        group.finish_episodes([1])
        group.restart(2, 5, 100)
        for _ in range(2):
            group.round()

    go(whole)
    monkeypatch.setattr(Captured, "__call__", warm)
    go(warmed)
    assert called
    assert whole.env_steps.tolist() == warmed.env_steps.tolist()
    for name, tensor in whole.learner.tensors().items():
        assert torch.equal(tensor, warmed.learner.tensors()[name]), name
    for name, tensor in whole.learner.numbers.items():
        torch.testing.assert_close(
            tensor, warmed.learner.numbers[name], rtol=0, atol=0, equal_nan=True, msg=name
        )
    if case[0] != "ppo":
        for member in range(3):
            rows = warmed.learner.replay.take(member)
            for name, tensor in whole.learner.replay.take(member).items():
                assert torch.equal(tensor, rows[name]), name
