"""Atari games of ale-py with the usual preprocessing (Machado et al. 2018, arXiv 1709.06009).

Up to 30 no-op steps at the start, a frame skip of four with the maximum of the last two frames,
grey images of 84 x 84; episodes end with the game and not with a life, as Machado et al. advise.
The presets stack frames and clip rewards. Actions are not sticky, as in the published scores that
the presets start from; ``repeat_action_probability=0.25`` makes them sticky.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import AtariPreprocessing, TimeLimit
from rltune.envs.info import EnvInfo, Family

#: Half an hour of play, as in Mnih et al. 2015 and in gymnasium.
MAX_FRAMES = 108_000
FRAMESKIP = 4

_game = partial(
    EnvInfo,
    family="atari",
    max_episode_steps=MAX_FRAMES // FRAMESKIP,
    extra="atari",
    images=True,
)
_HUMAN = "the score of a human tester (Mnih et al. 2015)"


def make(
    env_id: str,
    frameskip: int = FRAMESKIP,
    repeat_action_probability: float = 0.0,
    max_episode_steps: int | None = None,
    **kwargs: Any,
) -> gym.Env[Any, Any]:
    """Makes a game with grey images of shape (84, 84, 1).

    Args:
        frameskip: frames per action.
        max_episode_steps: actions after which an episode is truncated; half an hour of play by
            default.
        kwargs: arguments of ale-py's AtariEnv.
    """
    ale = import_module("ale_py")
    ale.ALEInterface.setLoggerMode(ale.LoggerMode.Error)  # it prints a banner in every process
    env = gym.make(
        env_id, frameskip=1, repeat_action_probability=repeat_action_probability, **kwargs
    )
    seen = AtariPreprocessing(env, frame_skip=frameskip, grayscale_newaxis=True)
    return TimeLimit(seen, max_episode_steps or MAX_FRAMES // frameskip)


FAMILY = Family(
    listed=(
        _game(
            "ale_py:ALE/Pong-v5",
            "pong",
            threshold=18.0,
            threshold_reason="21 is the most; PPO and DQN reach 20 to 21 in ten million steps",
        ),
        _game("ale_py:ALE/Breakout-v5", "breakout", threshold=31.8, threshold_reason=_HUMAN),
        _game(
            "ale_py:ALE/SpaceInvaders-v5",
            "spaceinvaders",
            threshold=1652.0,
            threshold_reason=_HUMAN,
        ),
        _game("ale_py:ALE/Qbert-v5", "qbert", threshold=13455.0, threshold_reason=_HUMAN),
        _game("ale_py:ALE/BeamRider-v5", "beamrider", threshold=5775.0, threshold_reason=_HUMAN),
        _game("ale_py:ALE/Seaquest-v5", "seaquest", threshold=20182.0, threshold_reason=_HUMAN),
        _game("ale_py:ALE/Enduro-v5", "enduro", threshold=309.6, threshold_reason=_HUMAN),
        _game("ale_py:ALE/MsPacman-v5", "mspacman", threshold=15693.0, threshold_reason=_HUMAN),
    ),
    make=make,
    prefix="ALE/",
    module="ale_py",
    others=_game("", ""),
)
