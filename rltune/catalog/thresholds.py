"""The mean return from which a policy counts as good enough."""

from __future__ import annotations

from rltune.envs import EnvInfo
from rltune.spec import RunSpec


def threshold(spec: RunSpec, info: EnvInfo | None) -> float | None:
    """The threshold of a run's environment; None where it says nothing about the run.

    It is one of the mean return, where a larger one is better, and of the environment without
    arguments: with them the rewards may be others (CartPole's ``sutton_barto_reward``), or the task
    easier.

    Args:
        info: of the environment; None where its own code would have to tell.
    """
    wanted = spec.goal.is_return and spec.mode == "max"
    if info is None or not wanted or spec.env_options.env_args:
        return None
    return info.threshold
