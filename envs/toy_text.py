"""Gymnasium's toy text tasks; a network reads their numbered states as one-hot vectors.

Thresholds and caps are gymnasium's own.
"""

from __future__ import annotations

from functools import partial

from rltune.envs.info import EnvInfo, Family

_spec = partial(EnvInfo, family="toy_text")

FAMILY = Family(
    listed=(
        _spec("FrozenLake-v1", "frozenlake", threshold=0.7, max_episode_steps=100),
        _spec("FrozenLake8x8-v1", "frozenlake8x8", threshold=0.85, max_episode_steps=200),
        _spec("Taxi-v3", "taxi", threshold=8.0, max_episode_steps=200),
    )
)
