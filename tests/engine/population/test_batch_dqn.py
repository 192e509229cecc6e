"""Members of DQN: alone, beside others, diverged, and as clones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from quick import GPUS
from torch import nn

from rltune.engine import products
from rltune.engine.noisy_linear import NoisyLinear
from rltune.engine.population.dqn import DQN, DQNShape, QNetwork
from rltune.engine.population.layers import stack
from rltune.engine.population.learner import Members
from rltune.engine.population.normalisation import Moments, Reader

pytestmark = pytest.mark.usefixtures("one_thread")

DEVICE = torch.device("cuda" if GPUS else "cpu")
COPIES, STEPS, OBS, ACTIONS, SEEDS = 2, 4, 3, 3, (11, 12, 13, 14)
#: Differ between members, so that their updates do not come at the same time.
SETTINGS: dict[str, Sequence[float]] = {
    "gamma": (0.9, 0.95, 0.99, 0.8),
    "tau": (1.0, 0.1, 0.5, 1.0),
    "target_network_update_freq": (16, 1, 8, 30),
    "n_step": (1, 2, 3, 4),
    "training_intensity": (16, 7, 4, 9),
    "num_steps_sampled_before_learning_starts": (20, 60, 40, 50),
    "prioritized_replay_alpha": (0.6, 0.5, 0.7, 0.9),
    "prioritized_replay_beta": (0.4, 0.5, 0.6, 1.0),
    "grad_clip": (10, 0.5, 1, np.inf),
    "lr": (1e-3, 3e-3, 1e-2, 5e-3),
    "initial_epsilon": (1.0, 0.5, 1.0, 0.9),
    "final_epsilon": (0.1, 0.0, 0.2, 0.3),
    "epsilon_timesteps": (100, 200, 300, 400),
}


class Walk:
    """Environments whose states follow from their seeds and actions.

    Args:
        within_step: whether episodes restart in the step that ends one, or in one of their own.
    """

    def __init__(self, seeds: Sequence[int], within_step: bool = False) -> None:
        first = np.array(seeds)[:, None, None] + np.arange(COPIES)[:, None] / 3
        self.state = np.cos(first + np.arange(OBS))
        self.age = np.zeros(self.state.shape[:2])
        self.fresh = np.zeros(self.age.shape, dtype=bool)
        self.clock = np.zeros(len(seeds), dtype=np.int64)
        self.within_step, self.last = within_step, self.state

    def step(self, actions: np.ndarray, outcomes: np.ndarray) -> None:
        valid = ~self.fresh
        self.state = np.cos(3 * self.state + actions[..., None] + np.arange(OBS))
        self.age = np.where(valid, self.age + 1, 0)
        rewards = np.where(valid, self.state[..., 0] + (actions == 1), 0.0)
        terminated = valid & (self.state[..., 1] > 0.95)
        done = terminated | (self.age >= 9)
        outcomes[:] = rewards, terminated, done, valid
        self.clock += valid.sum(1)
        if self.within_step:
            self.last, self.state = self.state, np.where(done[..., None], 0.1, self.state)
            self.age = np.where(done, 0, self.age)
        else:
            self.fresh = done


def _weights(seed: int, dueling: bool, atoms: int, noisy: bool) -> nn.ModuleDict:
    torch.manual_seed(seed)

    def linear(outputs: int) -> nn.Linear:
        layer = nn.Linear(16, outputs)
        return NoisyLinear(layer, 0.5) if noisy else layer

    parts: dict[str, nn.Module] = {
        "encoder": nn.Sequential(nn.Linear(OBS, 16), nn.ReLU()),
        "af": linear(ACTIONS * atoms),
    }
    return nn.ModuleDict(parts | ({"vf": linear(1)} if dueling else {}))


def _learner(
    chosen: Sequence[int],
    dtype: torch.dtype = torch.float64,
    at_once: int = 1,
    dueling: bool = False,
    atoms: int = 1,
    noisy: bool = False,
    filtered: bool = False,
    **shape: Any,
) -> DQN:
    seeds = [SEEDS[member] for member in chosen]
    nets = [_weights(seed, dueling, atoms, noisy) for seed in seeds]
    names = tuple(name for name, _ in nets[0].named_parameters())
    net = QNetwork(
        stack(nets[0], "encoder"),
        stack(nets[0], "af"),
        stack(nets[0], "vf") if dueling else None,
        ACTIONS,
        names,
        {name: f"_target_{name}" for name in names},
        atoms,
        -5.0,
        5.0,
        noisy,
    )
    named = [net.state_dict() for net in nets]
    named = [each | {f"_target_{name}": value for name, value in each.items()} for each in named]
    common = DQNShape(COPIES, STEPS, 16, 150, 4, at_once=at_once, **shape)
    moments = Moments(len(seeds), (OBS,), DEVICE) if filtered else None
    learner = DQN(
        Members(named, seeds, DEVICE, dtype),
        net,
        common,
        common.layout((OBS,), dtype, (), torch.int64),
        Reader(moments=moments, dtype=dtype),
    )
    learner.hyper.write(
        np.array([np.array(SETTINGS[name])[chosen] for name in learner.hyper.names])
    )
    return learner


def _train(learner: DQN, env: Walk, rounds: int) -> None:
    outcomes = np.zeros((4, STEPS, *env.age.shape))
    for _ in range(rounds):
        for t in range(STEPS):
            env.step(learner.act(env.state), outcomes[:, t])
            if env.within_step and outcomes[2, t].any():
                learner.see_last(env.last, outcomes[:, t])
        learner.learn(env.state, outcomes, env.clock)


def _trained(chosen: Sequence[int], rounds: int = 60, **changes: Any) -> DQN:
    learner = _learner(chosen, **changes)
    seeds = [SEEDS[member] for member in chosen]
    _train(learner, Walk(seeds, learner.shape.within_step), rounds)
    return learner


CASES: dict[str, dict[str, Any]] = {
    "double": {"double": True, "filtered": True, "within_step": True},
    "prioritized": {"dueling": True, "prioritized": True, "clip_rewards": 0.5},
    "noisy": {"noisy": True, "atoms": 7, "dueling": True, "double": True},
}


@pytest.mark.parametrize("case", CASES)
def test_a_member_is_the_same_alone_and_beside_others(case: str) -> None:
    together = _trained(range(4), at_once=5, **CASES[case])
    updates = together.optimizers["default_optimizer"].steps[:, 0].tolist()
    assert min(updates) > 90
    assert len(set(updates)) == 4
    for member in (1, 2):
        alone = _trained([member], at_once=1, **CASES[case])
        assert int(alone.optimizers["default_optimizer"].steps[0]) == updates[member]
        for name, rows in alone.tensors().items():
            torch.testing.assert_close(
                rows[0], together.tensors()[name][member], rtol=0, atol=1e-9, msg=name
            )


@pytest.mark.skipif(bool(GPUS), reason="on a CPU alone")
def test_members_without_autograd_are_the_same_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, Any] = {"dtype": torch.float32, "double": True, "prioritized": True}
    with_autograd = _trained(range(4), 20, **changes)
    monkeypatch.setattr(products, "LARGE", 1)  # every product is large
    together = _trained(range(4), 20, **changes)
    assert with_autograd.direct is None
    assert together.direct is not None
    for member in (1, 2):
        alone = _trained([member], 20, **changes)
        for name, rows in alone.tensors().items():
            assert torch.equal(rows[0], together.tensors()[name][member]), name
    weights = with_autograd.weights.flat
    torch.testing.assert_close(together.weights.flat, weights, rtol=0, atol=1e-3)


@pytest.mark.parametrize("prioritized", [False, True])
def test_a_member_that_diverges_leaves_the_others_bit_for_bit(prioritized: bool) -> None:
    changes: dict[str, Any] = {"dtype": torch.float32, "prioritized": prioritized, "at_once": 4}
    healthy = _trained(range(4), 40, **changes)
    learner = _learner(range(4), **changes)
    learner.hyper["lr"][2] = 1e30
    _train(learner, Walk(SEEDS), 40)
    assert learner.alive[:, 0].tolist() == [True, True, False, True]
    assert not bool(learner.faults[2].isfinite().all())
    assert bool(learner.weights.flat.isfinite().all())
    for name, rows in healthy.tensors().items():
        others = [0, 1, 3]
        assert torch.equal(rows[others], learner.tensors()[name][others]), name


def test_target_networks_follow_at_each_members_own_interval() -> None:
    learner = _trained(range(4), 10)
    moved = learner.moved[:, 0].tolist()
    learner.hyper["target_network_update_freq"][:] = 1e6
    before = learner.target.flat.clone()
    env = Walk(SEEDS)
    env.clock += 10 * STEPS * COPIES
    _train(learner, env, 5)
    assert learner.moved[:, 0].tolist() == moved
    assert torch.equal(before, learner.target.flat)
    learner.hyper["target_network_update_freq"][0] = 0  # after each update
    learner.hyper["tau"][0] = 1.0
    _train(learner, env, 3)
    assert torch.equal(learner.target.flat[0], learner.weights.flat[0])
    assert torch.equal(before[1:], learner.target.flat[1:])


@pytest.mark.parametrize("kind", ["own", "donor", "empty"])
def test_a_clone_continues_with_the_buffer_it_is_given(kind: str) -> None:
    learner, env = _learner(range(4), prioritized=True), Walk(SEEDS)
    _train(learner, env, 30)
    held = [learner.replay.count(member) for member in range(4)]
    kept = {name: rows[1:].clone() for name, rows in learner.tensors().items()}
    learner.copy_members([3], [0])
    if kind == "donor":
        learner.replay.place(0, learner.replay.take(3))
    elif kind == "empty":
        learner.replay.empty(0)
    learner.updates.restart(0, learner.replay.count(0))
    for name, rows in learner.tensors().items():
        assert torch.equal(rows[1:], kept[name]), name
        if not name.startswith("streams") and name != "moved":
            assert torch.equal(rows[0], rows[3]), name
    assert int(learner.moved[0]) == env.clock[0]
    now = learner.replay.count(0)
    assert [learner.replay.count(member) for member in range(1, 4)] == held[1:]
    wanted = {"own": held[0], "donor": held[3], "empty": 0}[kind]
    assert (
        wanted - COPIES * (kind == "donor") <= now <= wanted
    )  # a full buffer's oldest row is gone
    left = [20, 0, 0, 0] if kind == "empty" else [0] * 4
    assert learner.updates.warm_up_left(learner.hyper.given).tolist() == left
    before = learner.optimizers["default_optimizer"].steps.clone()
    _train(learner, env, 1)
    updated = (learner.optimizers["default_optimizer"].steps > before)[:, 0].tolist()
    assert updated == [kind != "empty", True, True, True]


def test_an_n_step_above_the_batchs_is_refused() -> None:
    learner = _learner([0])
    learner.hyper.write(np.array([[5.0]] * len(learner.hyper.names)))
    with pytest.raises(ValueError, match="n_step is at most 4"):
        _train(learner, Walk([1]), 1)
