"""DQN's members of a batch beside RLlib's learners, on the same batches and weights."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from quick import GPUS
from test_losses import CASES, SETTINGS, Pair, _close, _stock_update

from rltune import algorithms
from rltune.algorithms.batches import Table
from rltune.algorithms.dqn import batch as dqn
from rltune.algorithms.groups import make_learner
from rltune.engine.codec import ObservationCodec
from rltune.engine.population.layers import NotStackable
from rltune.engine.population.off_policy_shape import Batch

pytestmark = pytest.mark.usefixtures("ray_session")

MEMBERS = 3
#: What a batch is asked for in rltune's form.
FLAT = {
    "initial_epsilon": 1.0,
    "final_epsilon": 0.1,
    "epsilon_timesteps": 1000,
    "prioritized_replay": False,
}


def _moved(net: Any, by: float) -> None:
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(by * torch.randn_like(weight))


def _batch(drawn: list[dict[str, torch.Tensor]], gammas: list[float]) -> Batch:
    columns = {name: torch.stack([each[name] for each in drawn]) for name in drawn[0]}
    gamma = torch.tensor(gammas, device=columns["obs"].device).unsqueeze(1)
    return Batch(
        columns["obs"],
        columns["new_obs"],
        columns["actions"],
        columns["rewards"],
        gamma ** columns["n_step"] * (1 - columns["terminateds"].float()),
        columns["weights"],
    )


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("dqn")])
def test_loss_gradients_and_update_of_dqn_are_rllibs(case: str) -> None:
    algo, env, changes = CASES[case]
    pairs, gammas = [], [0.9 + 0.03 * member for member in range(MEMBERS)]
    for member, gamma in enumerate(gammas):
        own = {"gamma": gamma, "grad_clip": 0.2 * 10**member, **FLAT}
        pairs.append(Pair(algo, env, {**own, **changes}))
        _moved(pairs[-1].stock.module["default_policy"], 0.05)  # and its target network
        pairs[-1].ours.net.load_state_dict(
            pairs[-1].stock.module["default_policy"].state_dict(), strict=False
        )
    drawn = [pair.batch(algo) for pair in pairs]
    for member, each in enumerate(drawn):
        each["rewards"] *= member + 1
    configs = [pair.ours.config for pair in pairs]
    nets = [pair.ours.net for pair in pairs]
    device = drawn[0]["obs"].device
    learner = make_learner(configs, nets, range(MEMBERS), device)
    learner.hyper.write(Table(learner.HYPERPARAMETERS, configs).at(np.full(MEMBERS, 400)))
    batch = _batch(drawn, gammas)
    found = learner.differentiate(learner.losses(batch)[0])
    gradients = {name: each.clone() for name, each in found.items()}
    losses, errors = learner.losses(batch)
    learner.apply(losses)
    for member, pair in enumerate(pairs):
        wanted, theirs = _stock_update(pair.stock, dict(drawn[member]))
        assert float(losses[member].detach()) == pytest.approx(wanted, rel=1e-5)
        distances = pair.stock.metrics.peek(("default_policy", "td_error"))
        _close(errors[member], torch.as_tensor(distances, device=device)[0])
        length = torch.cat([each.flatten() for each in theirs.values()]).norm()
        weights, compared = learner.weights.member(member), 0
        for name, param in pair.stock.module["default_policy"].named_parameters():
            gradient = theirs.get(pair.stock.get_param_ref(param))
            if gradient is None:
                continue
            compared += 1
            # RLlib's dueling head of values shifts all logits alike: its gradient is rounding.
            if gradient.norm() < 1e-6 * length:
                assert gradients[name][member].norm() < 1e-6 * length
                continue
            _close(gradients[name][member], gradient)
            _close(weights[name].to(device), param.detach())
        assert compared == len([name for name in weights if "sigma" not in name])


def test_epsilon_in_rllibs_form_is_not_for_a_batch() -> None:
    pair = Pair("dqn", "cartpole", {})
    with pytest.raises(NotStackable, match="final_epsilon"):
        dqn.shape_of(pair.ours.config)


def _space(kind: str) -> gym.Space[Any]:
    if kind == "images":
        return gym.spaces.Box(0, 255, (36, 36, 2), np.uint8)
    seen, mask = gym.spaces.Box(-1, 1, (4,)), gym.spaces.MultiBinary(3)
    both = gym.spaces.Dict(observations=seen, action_mask=mask)
    return ObservationCodec(both, choices=3).ours


def _drawn(rng: Any, obs: torch.Tensor, following: torch.Tensor) -> dict[str, torch.Tensor]:
    """A minibatch of 8."""
    return {
        "actions": torch.tensor(rng.integers(0, 3, 8)),
        "rewards": torch.randn(8),
        "terminateds": torch.tensor(rng.random(8) < 0.2),
        "weights": torch.rand(8),
        "n_step": torch.ones(8),
        "obs": obs,
        "new_obs": following,
    }


@pytest.mark.skipif(GPUS > 0, reason="on a CPU alone their numbers are the same for so long")
@pytest.mark.parametrize(("hidden", "tau"), [([16], 0.5), ([256, 256], 1.0)])
def test_hundreds_of_updates_are_those_of_single_trials(hidden: list[int], tau: float) -> None:
    """With the target networks, which move in between, and Adam's averages."""
    config = algorithms.DQN.get_default_config()
    own = {"env": "cartpole", "fcnet_hiddens": hidden, "tau": tau, "grad_clip": 0.5, "lr": 1e-3}
    own["target_network_update_freq"] = 100
    config.update_from_dict({**SETTINGS["dqn"], **FLAT, **own})
    config.validate()
    spaces = {"default_policy": (gym.spaces.Box(-3, 3, (4,)), gym.spaces.Discrete(3))}
    singles = [config.copy().build_learner(spaces=spaces) for _ in range(2)]
    for single in singles:
        single.build()
    nets = [each.net for each in singles]
    starts = [{name: each.clone() for name, each in net.state_dict().items()} for net in nets]
    learner = make_learner([config, config], nets, [0, 1], torch.device("cpu"))
    learner.hyper.write(Table(learner.HYPERPARAMETERS, [config, config]).at(np.zeros(2)))
    rng = np.random.default_rng(0)
    for number in range(300):
        drawn = [_drawn(rng, torch.randn(8, 4), torch.randn(8, 4)) for _ in singles]
        for single, each in zip(singles, drawn, strict=True):
            single.gradient_step(dict(each))
            single._update_target(16 * number)
        learner.clock.fill_(16 * number)
        learner._wanted.fill_(1)
        learner._turn.zero_()
        batch = _batch(drawn, [config.gamma] * 2)
        learner._next_batch = lambda batch=batch: batch
        learner._update_once()
    for member, (single, start) in enumerate(zip(singles, starts, strict=True)):
        weights = single.net.state_dict()
        for name, trained in learner.network().items():
            assert (weights[name] - start[name]).abs().max() > 0.01, name
            torch.testing.assert_close(trained[member], weights[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_images_and_masks_are_read_as_by_the_engine_of_single_trials(kind: str) -> None:
    config = algorithms.DQN.get_default_config()
    config.update_from_dict(
        {**SETTINGS["dqn"], **FLAT, "env": "cartpole", "double_q": True, "grad_clip": 10.0}
    )
    config.validate()
    space, actions = _space(kind), gym.spaces.Discrete(3)
    singles = [
        config.copy().build_learner(spaces={"default_policy": (space, actions)}) for _ in range(2)
    ]
    for number, single in enumerate(singles):
        single.build()
        _moved(single.net, 0.02 * (number + 1))
    rng = np.random.default_rng(0)

    def obs() -> torch.Tensor:
        if kind == "images":
            return torch.tensor(rng.integers(0, 256, (2, 8, *space.shape), dtype=np.uint8))
        seen = torch.randn(2, 8, *space.shape)
        seen[..., -3:] = torch.tensor(rng.random((2, 8, 3)) < 0.5).float()
        return seen

    drawn = [_drawn(rng, now, following) for now, following in zip(obs(), obs(), strict=True)]
    nets = [each.net for each in singles]
    learner = make_learner([config, config], nets, [0, 1], torch.device("cpu"))
    learner.hyper.write(Table(learner.HYPERPARAMETERS, [config, config]).at(np.zeros(2)))
    losses, _ = learner.losses(_batch(drawn, [config.gamma] * 2))
    gradients = learner.differentiate(losses)
    for member, single in enumerate(singles):
        wanted = single.loss(dict(drawn[member]))
        assert float(losses[member].detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
        wanted.backward()
        for name, param in single.net.named_parameters():
            if param.grad is not None:
                _close(gradients[name][member], param.grad)
        # With images by autograd again, with masks without it.
        assert (single._direct is None) == (kind == "images")
        assert float(single.gradients(dict(drawn[member]))) == pytest.approx(
            float(wanted.detach()), rel=1e-5
        )
        for name, param in single.net.named_parameters():
            if param.grad is not None:
                _close(gradients[name][member], param.grad)
    if kind == "masks":
        learner.clock.fill_(0)  # every action is drawn at random
        seen = torch.stack([each["obs"] for each in drawn])
        allowed = seen[..., -3:] > 0
        chosen = allowed.gather(-1, learner.explore(seen).unsqueeze(-1)).squeeze(-1)
        assert bool((chosen | ~allowed.any(-1)).all())
