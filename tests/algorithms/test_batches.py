"""Members of a batch beside RLlib's learners, on the same batches and weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_losses import CASES, Pair, _close, _stock_update

from rltune.algorithms.batches import Table
from rltune.algorithms.groups import make_learner

pytestmark = pytest.mark.usefixtures("ray_session")

#: RLlib's names of the columns of a batch, and those of a batch of members.
COLUMNS = {
    "actions": "actions",
    "action_dist_inputs": "outputs",
    "action_logp": "log_probs",
    "advantages": "advantages",
    "value_targets": "value_targets",
}
MEMBERS = 3


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("ppo")])
def test_loss_gradients_and_update_of_ppo_are_rllibs(case: str) -> None:
    algo, env, changes = CASES[case]
    pairs, batches = [], []
    for member in range(MEMBERS):
        pair = Pair(algo, env, {**changes, "clip_param": 0.1 + 0.1 * member})
        with torch.no_grad():
            for weight in pair.stock.module["default_policy"].parameters():
                weight.add_(0.05 * member * torch.randn_like(weight))
        pairs.append(pair)
        batches.append(pair.batch(algo))
    nets = [pair.stock.module["default_policy"] for pair in pairs]
    for pair, net in zip(pairs, nets, strict=True):
        pair.ours.net.load_state_dict(net.state_dict(), strict=False)
    own = [pair.ours.net for pair in pairs]
    configs = [pair.ours.config for pair in pairs]
    batch = make_learner(configs, own, range(MEMBERS), pairs[0].ours.device)
    batch.hyper.write(Table(batch.HYPERPARAMETERS, configs).at(np.full(MEMBERS, 400)))
    rows = {
        ours: torch.stack([each[theirs] for each in batches]) for theirs, ours in COLUMNS.items()
    }
    rows["valid"] = torch.ones_like(rows["advantages"])
    obs = torch.stack([each["obs"] for each in batches])
    found = torch.zeros_like(batch.weights.flat)
    batch.weights.gradient(batch.losses(obs, rows).sum(), found)
    named = batch.weights.layout.views(found)
    losses = batch.losses(obs, rows)
    batch.apply(losses)
    for member, pair in enumerate(pairs):
        wanted, gradients = _stock_update(pair.stock, dict(batches[member]))
        assert float(losses[member].detach()) == pytest.approx(wanted, rel=1e-5)
        weights = batch.weights.member(member)
        for name, param in nets[member].named_parameters():
            gradient = gradients.get(pair.stock.get_param_ref(param))
            if gradient is not None:
                _close(named[name][member], gradient)
                _close(weights[name].to(param.device), param.detach())
