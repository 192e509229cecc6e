"""Gymnasium's classic control tasks. Thresholds and caps are gymnasium's own."""

from __future__ import annotations

from rltune.envs.spec import EnvSpec

SPECS = (
    EnvSpec("CartPole-v1", "cartpole", "classic_control", 475.0, 500),
    EnvSpec("Acrobot-v1", "acrobot", "classic_control", -100.0, 500),
    EnvSpec("MountainCar-v0", "mountaincar", "classic_control", -110.0, 200),
    EnvSpec("MountainCarContinuous-v0", "mountaincar-continuous", "classic_control", 90.0, 999),
    EnvSpec("Pendulum-v1", "pendulum", "classic_control", None, 200),
)
