"""PPO of M members as bare stacked tensors: what bench_batch.py measures batches against.

The same mathematics as the batch's at the same settings and nothing else: settings that all members
have in common, no faults, no numbers to report, no checkpoints, torch's own random numbers. The
weights are one flat tensor, and gymnasium's vectorised environment steps on the host.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from rltune import envs
from rltune.engine.population.captured import Captured, Graphs, Transfer

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}
Views = list[torch.Tensor]


class Networks:
    """Fully connected networks of M members in one flat tensor, with Adam."""

    def __init__(self, members: int, sizes: list[list[int]], device: torch.device) -> None:
        layers = [pair for each in sizes for pair in pairwise(each)]
        shapes = [
            shape for inputs, outputs in layers for shape in ((inputs, outputs), (1, outputs))
        ]
        parts = [torch.randn(members, a * b) / math.sqrt(a) * (a > 1) for a, b in shapes]
        self.flat = torch.cat(parts, 1).to(device)
        split = torch.split(self.flat, [a * b for a, b in shapes], 1)
        views = [v.view(members, *s) for v, s in zip(split, shapes, strict=True)]
        self.views = [view.detach().requires_grad_() for view in views]
        self.first, self.second = torch.zeros_like(self.flat), torch.zeros_like(self.flat)
        self.steps = torch.zeros(1, device=device)

    def update(self, loss: torch.Tensor, rate: float, limit: float) -> None:
        """One step of Adam down the gradient of a sum of losses, each member's cut to a norm."""
        with torch.no_grad():
            found = torch.autograd.grad(loss, self.views)
            gradient = torch.cat([each.flatten(1) for each in found], 1)
            norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
            gradient.mul_((limit / (norm + 1e-6)).clamp_(max=1))
            self.steps += 1
            self.first.lerp_(gradient, 0.1)
            self.second.lerp_(gradient.square_(), 0.001)
            root = (self.second / (1 - 0.999**self.steps)).sqrt_().add_(1e-8)
            self.flat.addcdiv_(self.first * (-rate / (1 - 0.9**self.steps)), root)

    @property
    def state(self) -> Views:
        """What an update changes."""
        return [self.flat, self.first, self.second, self.steps]


class PPO:
    """Trains M members with discrete actions. Calls sample a training batch each and learn."""

    def __init__(self, env: str, c: dict[str, Any], members: int, device: torch.device) -> None:
        copies, self.c = c["num_envs_per_env_runner"], c
        self.steps = c["train_batch_size"] // copies
        self.env = gym.make_vec(envs.gym_id(env), members * copies, "vector_entry_point")
        inputs, outputs = self.env.single_observation_space.shape[0], self.env.single_action_space.n
        hidden = [inputs, *c["fcnet_hiddens"]]
        self.nets = Networks(members, [[*hidden, int(outputs)], [*hidden, 1]], device)
        self.activation = ACTIVATIONS[c["fcnet_activation"]]
        rows = (members, self.steps, copies)
        self.obs = torch.zeros(members, copies, inputs, device=device)
        self.chosen = torch.zeros(members, copies, dtype=torch.int64, device=device)
        self.seen = torch.zeros(members, self.steps + 1, copies, inputs, device=device)
        self.acts = torch.zeros(rows, dtype=torch.int64, device=device)
        self.logps = torch.zeros(rows, device=device)
        self.outcomes = torch.zeros(4, *rows, device=device)
        self.at = torch.zeros(1, dtype=torch.int64, device=device)
        graphs = Graphs(device)
        self.acting = Captured(self.act, lambda: [self.at], graphs)
        self.learning = Captured(self.learn, lambda: [*self.nets.state, self.at], graphs)
        tensors = (self.obs, self.chosen, self.outcomes)
        self.to_obs, self.from_chosen, self.to_outcomes = map(Transfer, tensors)
        self.host = np.zeros(self.outcomes.shape, np.float32)
        self.to_obs.send(self.env.reset(seed=0)[0])
        self.fresh = np.zeros(self.env.num_envs, dtype=bool)

    def __call__(self) -> int:
        """Returns the environment steps taken, of all members together."""
        for t in range(self.steps):
            self.acting()
            actions = self.from_chosen.receive().reshape(-1)
            obs, reward, terminated, truncated, _ = self.env.step(actions)
            done = terminated | truncated
            for plane, values in zip(
                self.host, (reward, terminated, done, ~self.fresh), strict=True
            ):
                plane[:, t] = values.reshape(plane[:, t].shape)
            self.fresh = done  # the next step resets
            self.to_obs.send(obs)
        self.to_outcomes.send(self.host)
        self.learning()
        return int(self.host[3].sum())

    def logits(self, obs: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the actions."""
        return self._apply(self.nets.views[: len(self.nets.views) // 2], obs).log_softmax(-1)

    def value(self, obs: torch.Tensor) -> torch.Tensor:
        """Estimated returns."""
        return self._apply(self.nets.views[len(self.nets.views) // 2 :], obs).squeeze(-1)

    def _apply(self, views: Views, x: torch.Tensor) -> torch.Tensor:
        for i in range(0, len(views), 2):
            x = torch.baddbmm(views[i + 1], x, views[i])
            x = self.activation(x) if i + 2 < len(views) else x
        return x

    @torch.no_grad()
    def act(self) -> None:
        """Draws actions and keeps them with what led to them."""
        logp = self.logits(self.obs)
        self.chosen.copy_((logp - torch.empty_like(logp).exponential_().log()).argmax(-1))
        taken = logp.gather(-1, self.chosen.unsqueeze(-1)).squeeze(-1)
        columns = ((self.seen, self.obs), (self.acts, self.chosen), (self.logps, taken))
        for rows, row in columns:
            rows.index_copy_(1, self.at, row.unsqueeze(1))
        self.at.add_(1)

    @torch.no_grad()
    def advantages(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised advantages and the critic's targets, shape (M, rows)."""
        self.seen[:, -1] = self.obs
        reward, terminated, done, counted = self.outcomes
        value = self.value(self.seen.flatten(1, 2)).view(self.seen.shape[:3])
        delta = reward + self.c["gamma"] * value[:, 1:] * (1 - terminated) - value[:, :-1]
        decay = self.c["gamma"] * self.c["lambda_"] * (1 - done)
        for t in reversed(range(self.steps - 1)):
            delta[:, t] += decay[:, t] * delta[:, t + 1]
        target = (delta + value[:, :-1]).flatten(1)
        adv, counted = delta.flatten(1), counted.flatten(1)
        count = counted.sum(1, keepdim=True)
        adv = adv - (adv * counted).sum(1, keepdim=True) / count
        spread = ((adv.square() * counted).sum(1, keepdim=True) / count).sqrt()
        return adv / (spread + 1e-4), target

    def learn(self) -> None:
        """All updates of a training batch."""
        obs = self.seen[:, :-1].flatten(1, 2)
        kept = (self.acts, self.logps, self.outcomes[3])
        columns = [*(column.flatten(1) for column in kept), *self.advantages()]
        members, rows, inputs = obs.shape
        for _ in range(self.c["num_epochs"]):
            if self.c["minibatch_size"] >= rows:
                self.update(obs, *columns)
                continue
            order = torch.rand(members, rows, device=obs.device).argsort(1)
            for index in order.split(self.c["minibatch_size"], 1):
                wide = index.unsqueeze(-1).expand(-1, -1, inputs)
                self.update(obs.gather(1, wide), *(each.gather(1, index) for each in columns))
        self.at.zero_()

    def update(
        self,
        obs: torch.Tensor,
        act: torch.Tensor,
        before: torch.Tensor,
        counted: torch.Tensor,
        adv: torch.Tensor,
        target: torch.Tensor,
    ) -> None:
        """One update of a minibatch."""
        logp = self.logits(obs).gather(-1, act.unsqueeze(-1)).squeeze(-1)
        ratio, clip = (logp - before).exp(), self.c["clip_param"]
        surrogate = torch.min(adv * ratio, adv * ratio.clamp(1 - clip, 1 + clip))
        error = (self.value(obs) - target).square()
        loss = (self.c["vf_loss_coeff"] * error - surrogate) * counted
        total = (loss.sum(1) / counted.sum(1)).sum()
        self.nets.update(total, self.c["lr"], self.c["grad_clip"])
