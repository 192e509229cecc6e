"""Gymnasium's classic control tasks. Thresholds are gymnasium's, or ours where it names none."""

from __future__ import annotations

from functools import partial

from rltune.envs.info import EnvInfo, Family

_spec = partial(EnvInfo, family="classic_control")

FAMILY = Family(
    listed=(
        _spec("CartPole-v1", "cartpole", threshold=475.0, max_episode_steps=500),
        _spec("Acrobot-v1", "acrobot", threshold=-100.0, max_episode_steps=500, pooled=True),
        _spec(
            "MountainCar-v0", "mountaincar", threshold=-110.0, max_episode_steps=200, pooled=True
        ),
        _spec(
            "MountainCarContinuous-v0",
            "mountaincar-continuous",
            threshold=90.0,
            max_episode_steps=999,
        ),
        _spec(
            "Pendulum-v1",
            "pendulum",
            threshold=-180.0,
            threshold_reason=(
                "policies that swing up and hold from every start average about -150 to -170, and "
                "100 episodes vary by some ten around that"
            ),
            max_episode_steps=200,
        ),
    )
)
