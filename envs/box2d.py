"""Gymnasium's Box2D tasks. Thresholds and caps are gymnasium's own."""

from __future__ import annotations

from functools import partial

from rltune.envs.spec import EnvSpec

_spec = partial(EnvSpec, family="box2d", extra="box2d")

SPECS = (
    _spec("LunarLander-v3", "lunarlander", threshold=200.0, max_episode_steps=1000),
    _spec(
        "LunarLanderContinuous-v3",
        "lunarlander-continuous",
        threshold=200.0,
        max_episode_steps=1000,
    ),
    _spec("BipedalWalker-v3", "bipedalwalker", threshold=300.0, max_episode_steps=1600),
    _spec(
        "BipedalWalkerHardcore-v3",
        "bipedalwalker-hardcore",
        threshold=300.0,
        max_episode_steps=2000,
    ),
)
