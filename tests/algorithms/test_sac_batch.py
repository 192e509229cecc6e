"""SAC's members of a batch beside RLlib's learner, on the same batches, weights and noise."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from ray.rllib.algorithms.sac.sac_catalog import SACCatalog
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from test_losses import CASES, ROWS, Pair, _close, _squares, _stock_update

from rltune.algorithms.batches import Table
from rltune.algorithms.groups import make_learner
from rltune.algorithms.sac import ObsActionCatalog, SACModule
from rltune.algorithms.sac import batch as sac
from rltune.engine.population.layers import NotStackable
from rltune.engine.population.off_policy_shape import Batch
from rltune.engine.population.sac import LOG_ALPHA
from rltune.engine.population.streams import Streams

pytestmark = pytest.mark.usefixtures("ray_session")

#: What a batch is asked for in rltune's form.
FLAT = {"prioritized_replay": False, "buffer_capacity": 1_000}
#: What the members of a batch differ in.
MEMBERS: list[dict[str, Any]] = [
    {},
    {"gamma": 0.9, "target_entropy": -0.3, "actor_lr": 3e-3, "grad_clip": 0.1},
    {"gamma": 0.5, "initial_alpha": 0.2, "alpha_lr": 1e-4, "grad_clip": 1.0},
]


def _pairs(case: str) -> list[Pair]:
    """Pairs of learners with weights, target networks and temperatures of their own."""
    algo, env, changes = CASES[case]
    pairs = []
    for member, own in enumerate(MEMBERS):
        pair = Pair(algo, env, {**FLAT, **changes, **own})
        net = pair.stock.module["default_policy"]
        with torch.no_grad():
            for weight in net.parameters():
                weight.add_(0.05 * (member + 1) * torch.randn_like(weight))
        pair.ours.net.load_state_dict(net.state_dict(), strict=False)
        pairs.append(pair)
    return pairs


def _noise(member: int, actions: int, device: torch.device) -> torch.Tensor:
    """What RLlib draws from torch's generator for its two samples of actions."""
    torch.manual_seed(member)
    return torch.stack([torch.randn(ROWS, actions, device=device) for _ in range(2)])


def _batch(columns: list[dict[str, torch.Tensor]], configs: list[Any]) -> Batch:
    stacked = {name: torch.stack([each[name] for each in columns]) for name in columns[0]}
    gamma = torch.tensor([[config.gamma] for config in configs], device=stacked["obs"].device)
    discounts = gamma ** stacked["n_step"] * ~stacked["terminateds"]
    names = ("obs", "new_obs", "actions", "rewards")
    return Batch(*(stacked[name] for name in names), discounts, stacked["weights"])


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("sac")])
def test_losses_gradients_and_update_are_rllibs(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = _pairs(case)
    device = pairs[0].ours.device
    nets = [pair.ours.net for pair in pairs]
    configs = [pair.ours.config for pair in pairs]
    batch = make_learner(configs, nets, range(len(pairs)), device)
    batch.hyper.write(Table(batch.HYPERPARAMETERS, configs).at(np.full(len(pairs), 400)))
    columns = [pair.batch("sac") for pair in pairs]
    for member, each in enumerate(columns):
        each["rewards"] = each["rewards"] + member
    rows = _batch(columns, configs)
    noise = torch.stack([_noise(i, batch.net.actions, device) for i in range(len(pairs))])
    losses, _ = batch.losses_with(noise, rows)
    found = torch.zeros_like(batch.weights.flat)
    batch.weights.gradient(losses.sum(), found)
    named = batch.weights.layout.views(found)
    batch.apply(batch.losses_with(noise, rows)[0])
    if case.startswith("sac-mse"):  # RLlib has the Huber loss alone: that with no straight part
        monkeypatch.setattr(torch.nn.HuberLoss, "__init__", _squares)
    for member, pair in enumerate(pairs):
        torch.manual_seed(member)
        wanted, gradients = _stock_update(pair.stock, dict(columns[member]))
        assert float(losses[member].detach()) == pytest.approx(wanted, rel=1e-5)
        params = dict(pair.stock.module["default_policy"].named_parameters())
        params[LOG_ALPHA] = pair.stock.curr_log_alpha["default_policy"]
        updated = batch.weights.member(member)
        assert set(updated) == {name for name in params if not name.startswith("target")}
        for name, weight in updated.items():
            _close(named[name][member], gradients[pair.stock.get_param_ref(params[name])])
            _close(weight.to(device), params[name].detach())


def test_actions_are_drawn_from_rllibs_distribution() -> None:
    pairs = _pairs("sac")
    configs = [pair.ours.config for pair in pairs]
    nets, device = [pair.ours.net for pair in pairs], pairs[0].ours.device
    batch = make_learner(configs, nets, range(len(pairs)), device)
    values = Table(batch.HYPERPARAMETERS, configs).at(np.zeros(len(pairs)))
    values[batch.hyper.names.index("noise_correlation")] = rho = np.array([0.0, 0.5, 0.9])
    batch.hyper.write(values)
    streams, noise = Streams(range(len(pairs)), device), torch.zeros(len(pairs), 1, 1)
    for step in range(3):
        fresh = streams.normal(1, 1).cpu()
        kept = torch.tensor(rho if step else 0 * rho).float().view(-1, 1, 1)
        noise = kept * noise + (1 - kept.square()).sqrt() * fresh
        obs = torch.randn(len(pairs), 1, 3, device=device)
        actions = batch.play(obs.cpu().numpy())
        for member, net in enumerate(nets):
            inputs = net._forward_exploration({"obs": obs[member]})["action_dist_inputs"]
            wanted = net.get_exploration_action_dist_cls().from_logits(inputs.detach().cpu())
            wanted = wanted._squash(wanted.loc + wanted._dist.scale * noise[member])
            torch.testing.assert_close(torch.tensor(actions[member]), wanted)


def _net(obs: gym.Space[Any], catalog: type[SACCatalog] = ObsActionCatalog) -> Any:
    hiddens = {"fcnet_hiddens": [16, 16], "fcnet_activation": "relu", "head_fcnet_hiddens": []}
    net = RLModuleSpec(
        module_class=SACModule,
        observation_space=obs,
        action_space=gym.spaces.Box(-1, 1, (2,)),
        model_config={**asdict(DefaultModelConfig()), **hiddens, "twin_q": True},
        catalog_class=catalog,
    ).build()
    net.make_target_networks()
    return net


@pytest.mark.parametrize("side", [10, 40])
def test_critics_read_an_action_beside_an_image(side: int) -> None:
    nets = [_net(gym.spaces.Box(0, 255, (side, side, 2), "uint8")) for _ in range(2)]
    stacked = sac.networks(nets[0])
    weights = {
        name: torch.stack([dict(net.named_parameters())[name] for net in nets])
        for name, _ in nets[0].named_parameters()
    }
    images, actions = torch.rand(2, 5, side, side, 2), torch.rand(2, 5, 2) * 2 - 1
    outputs = stacked.policy(images.movedim(-1, 2), weights)
    values = stacked.values(images.movedim(-1, 2), actions, weights)
    for member, net in enumerate(nets):
        batch = {"obs": images[member], "actions": actions[member]}
        _close(outputs[member], net._forward_inference(batch)["action_dist_inputs"])
        _close(values[member], net.compute_q_values(batch))


def test_rllibs_own_critics_are_no_batch() -> None:
    with pytest.raises(NotStackable, match="TorchMultiStreamEncoder"):
        sac.networks(_net(gym.spaces.Box(-1, 1, (3,)), SACCatalog))
