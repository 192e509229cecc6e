"""PPO, DQN and SAC as bare torch loops: the lower bound that bench_engine.py measures against.

The same mathematics as the other sides at the same settings and nothing else: no plug-in classes,
no metrics, no checkpoints, no schedules. Vectorised environments, arrays, fused Adam.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rltune import envs
from rltune.engine.rollout import gae

# As in the engine: Adam's averages of dead units would be denormal numbers, which are slow.
torch.set_flush_denormal(True)

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
Run = Callable[[int], int]


def mlp(inputs: int, outputs: int, config: dict[str, Any]) -> nn.Sequential:
    """Returns a fully connected network."""
    sizes = [inputs, *config["fcnet_hiddens"]]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), ACTIVATIONS[config["fcnet_activation"]]()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


def ppo(env: str, c: dict[str, Any]) -> Run:
    """Returns a function that trains PPO with discrete actions for some environment steps."""
    vec = envs.make_vec(env, c["num_envs_per_env_runner"])
    inputs, outputs = vec.single_observation_space.shape[0], int(vec.single_action_space.n)
    policy, critic = mlp(inputs, outputs, c), mlp(inputs, 1, c)
    params = [*policy.parameters(), *critic.parameters()]
    adam = torch.optim.Adam(params, lr=c["lr"], fused=True)
    obs, _ = vec.reset(seed=0)
    fresh = np.zeros(vec.num_envs, dtype=bool)
    steps = c["train_batch_size"] // vec.num_envs

    def collect() -> dict[str, torch.Tensor]:
        nonlocal obs, fresh
        rows: dict[str, list[np.ndarray]] = {
            k: [] for k in "obs act logp rew term trunc ok".split()
        }
        with torch.no_grad():
            for _ in range(steps):
                logp = functional.log_softmax(policy(torch.from_numpy(obs)), -1)
                act = torch.multinomial(logp.exp(), 1)
                after, rew, term, trunc, _ = vec.step(act[:, 0].numpy())
                values = (obs, act[:, 0], logp.gather(1, act)[:, 0], rew, term, trunc, ~fresh)
                for column, value in zip(rows.values(), values, strict=True):
                    column.append(np.asarray(value))
                obs, fresh = after, term | trunc
            row = {k: np.stack(v) for k, v in rows.items()}
            seen = np.concatenate([row["obs"], obs[None]])
            value = critic(torch.from_numpy(seen).flatten(0, 1)).view(steps + 1, -1).numpy()
        done = row["term"] | row["trunc"]
        rew = row["rew"].astype(np.float32)
        adv = gae(rew, value[:-1], value[1:], row["term"], done, c["gamma"], c["lambda_"])
        ok = row["ok"]
        batch = {k: torch.from_numpy(row[k][ok]) for k in ("obs", "act", "logp")}
        batch["adv"] = torch.from_numpy(adv[ok])
        batch["target"] = torch.from_numpy((adv + value[:-1])[ok])
        batch["adv"] = (batch["adv"] - batch["adv"].mean()) / batch["adv"].std(correction=0)
        return batch

    def update(b: dict[str, torch.Tensor]) -> None:
        logp = functional.log_softmax(policy(b["obs"]), -1)
        ratio = (logp.gather(1, b["act"][:, None])[:, 0] - b["logp"]).exp()
        clipped = ratio.clamp(1 - c["clip_param"], 1 + c["clip_param"])
        surrogate = torch.min(b["adv"] * ratio, b["adv"] * clipped)
        entropy = -(logp.exp() * logp).sum(-1)
        error = (critic(b["obs"])[:, 0] - b["target"]).square()
        loss = -surrogate + c["vf_loss_coeff"] * error - c["entropy_coeff"] * entropy
        adam.zero_grad()
        loss.mean().backward()
        nn.utils.clip_grad_norm_(params, c["grad_clip"])
        adam.step()

    def run(env_steps: int) -> int:
        taken = 0
        while taken < env_steps:
            batch = collect()
            rows = len(batch["obs"])
            parts = max(1, round(rows / c["minibatch_size"]))
            for _ in range(c["num_epochs"]):
                for chosen in torch.randperm(rows).tensor_split(parts):
                    update({k: column[chosen] for k, column in batch.items()})
            taken += rows
        return taken

    return run


class Ring:
    """A replay buffer of plain arrays."""

    def __init__(self, capacity: int, inputs: int, action: np.ndarray) -> None:
        self.obs = np.zeros((capacity, inputs), np.float32)
        self.after = np.zeros((capacity, inputs), np.float32)
        self.act = np.zeros((capacity, *action.shape), action.dtype)
        self.rew, self.term = np.zeros(capacity, np.float32), np.zeros(capacity, np.float32)
        self.at = self.size = 0
        self.rng = np.random.default_rng(0)

    def add(self, obs: Any, after: Any, act: Any, rew: float, term: bool) -> None:
        """Adds one transition."""
        i = self.at % len(self.obs)
        self.obs[i], self.after[i], self.act[i] = obs, after, act
        self.rew[i], self.term[i] = rew, term
        self.at += 1
        self.size = min(self.at, len(self.obs))

    def sample(self, count: int) -> list[torch.Tensor]:
        """Draws ``count`` transitions with replacement."""
        at = self.rng.integers(self.size, size=count)
        columns = (self.obs, self.after, self.act, self.rew, self.term)
        return [torch.from_numpy(column[at]) for column in columns]


def off_policy(
    env: gym.Env[Any, Any],
    c: dict[str, Any],
    act: Callable[[np.ndarray, int], Any],
    update: Callable[[list[torch.Tensor], int], None],
) -> Run:
    """Returns the training loop of DQN and SAC, given functions to act and to update."""
    ring = Ring(c["buffer_capacity"], env.observation_space.shape[0], env.action_space.sample())
    obs, _ = env.reset(seed=0)
    clock, owed = 0, 0.0

    def run(env_steps: int) -> int:
        nonlocal obs, clock, owed
        end = clock + env_steps
        while clock < end:
            for _ in range(c["rollout_fragment_length"]):
                action, played = act(obs, clock)
                after, rew, term, trunc, _ = env.step(played)
                ring.add(obs, after, action, float(rew), term)
                obs = env.reset()[0] if term or trunc else after
                clock += 1
            if ring.size >= c["num_steps_sampled_before_learning_starts"]:
                owed += (
                    c["rollout_fragment_length"] * c["training_intensity"] / c["train_batch_size"]
                )
                for _ in range(int(owed)):
                    update(ring.sample(c["train_batch_size"]), clock)
                owed -= int(owed)
        return env_steps + clock - end

    return run


def dqn(env: str, c: dict[str, Any]) -> Run:
    """Returns a function that trains DQN for some environment steps."""
    made = envs.make(env)
    inputs, outputs = made.observation_space.shape[0], int(made.action_space.n)
    net = mlp(inputs, outputs, c)
    frozen = copy.deepcopy(net).requires_grad_(False)
    params = list(net.parameters())
    adam = torch.optim.Adam(params, lr=c["lr"], fused=True)
    rng = np.random.default_rng(0)
    copied = 0

    def act(obs: np.ndarray, clock: int) -> tuple[np.ndarray, int]:
        share = min(1.0, clock / c["epsilon_timesteps"])
        epsilon = c["initial_epsilon"] + share * (c["final_epsilon"] - c["initial_epsilon"])
        if rng.random() < epsilon:
            action = int(rng.integers(outputs))
        else:
            with torch.no_grad():
                action = int(net(torch.from_numpy(obs)).argmax())
        return np.int64(action), action

    def update(batch: list[torch.Tensor], clock: int) -> None:
        nonlocal copied
        obs, after, acts, rew, term = batch
        with torch.no_grad():
            target = rew + c["gamma"] * (1 - term) * frozen(after).max(-1).values
        loss = functional.huber_loss(net(obs).gather(1, acts[:, None])[:, 0], target)
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, c["grad_clip"])
        adam.step()
        if clock - copied >= c["target_network_update_freq"]:
            frozen.load_state_dict(net.state_dict())
            copied = clock

    return off_policy(made, c, act, update)


def sac(env: str, c: dict[str, Any]) -> Run:
    """Returns a function that trains SAC for some environment steps."""
    made = envs.make(env)
    inputs, size = made.observation_space.shape[0], made.action_space.shape[0]
    low, high = made.action_space.low, made.action_space.high
    actor = mlp(inputs, 2 * size, c)
    critics = nn.ModuleList([mlp(inputs + size, 1, c) for _ in range(2)])
    frozen = copy.deepcopy(critics).requires_grad_(False)
    log_alpha = nn.Parameter(torch.zeros(()))
    actor_adam = torch.optim.Adam(actor.parameters(), lr=c["actor_lr"], fused=True)
    critic_adams = [
        torch.optim.Adam(q.parameters(), lr=c["critic_lr"], fused=True) for q in critics
    ]
    alpha_adam = torch.optim.Adam([log_alpha], lr=c["alpha_lr"], fused=True)
    main, copies = list(critics.parameters()), list(frozen.parameters())

    def draw(obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = actor(obs).chunk(2, -1)
        log_std = log_std.clamp(-20, 2)
        noise = torch.randn_like(mean)
        raw = mean + log_std.exp() * noise
        logp = -0.5 * noise.square() - log_std - 0.5 * np.log(2 * np.pi)
        squash = 2 * (np.log(2) - raw - functional.softplus(-2 * raw))
        return raw.tanh(), (logp - squash).sum(-1)

    def act(obs: np.ndarray, _clock: int) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            action = draw(torch.from_numpy(obs)[None])[0][0].numpy()
        return action, low + (action + 1) / 2 * (high - low)

    def update(batch: list[torch.Tensor], _clock: int) -> None:
        obs, after, acts, rew, term = batch
        alpha = log_alpha.exp().detach()
        action, logp = draw(obs)
        with torch.no_grad():
            next_action, next_logp = draw(after)
            joined = torch.cat([after, next_action], -1)
            lowest = torch.min(frozen[0](joined), frozen[1](joined))[:, 0] - alpha * next_logp
            target = rew + c["gamma"] * (1 - term) * lowest
        joined = torch.cat([obs, acts], -1)
        critic_loss = sum(functional.huber_loss(q(joined)[:, 0], target) for q in critics)
        critics.requires_grad_(False)
        joined = torch.cat([obs, action], -1)
        actor_loss = alpha * logp - torch.min(critics[0](joined), critics[1](joined))[:, 0]
        critics.requires_grad_(True)
        alpha_loss = -(log_alpha * (logp.detach() - size)).mean()
        for adam in (actor_adam, *critic_adams, alpha_adam):
            adam.zero_grad()
        (critic_loss + actor_loss.mean() + alpha_loss).backward()
        for adam in (actor_adam, *critic_adams, alpha_adam):
            adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(copies, main, c["tau"])

    return off_policy(made, c, act, update)


RUNS = {"ppo": ppo, "dqn": dqn, "sac": sac}
