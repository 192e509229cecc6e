"""RLlib's own algorithms at rltune's settings: the other side of the benchmarks."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.sac import SACConfig

from rltune import algorithms, envs

CONFIGS = {"dqn": DQNConfig, "ppo": PPOConfig, "sac": SACConfig}
#: Parts of the network, which RLlib keeps in ``model_config``.
NETWORK = ("fcnet_hiddens", "fcnet_activation", "vf_share_layers")


def stock_config(algo: str, env: str, settings: dict[str, Any], seed: int) -> Any:
    """Returns RLlib's config of an algorithm with rltune's settings under RLlib's names."""
    algorithms.register_envs()
    config = CONFIGS[algo]()
    config.environment(envs.gym_id(env)).debugging(seed=seed)
    if algo == "sac":
        config.lr = None
    own = {name: v for name, v in settings.items() if name not in NETWORK and hasattr(config, name)}
    config.update_from_dict(own)
    config.rl_module(model_config={n: settings[n] for n in NETWORK if n in settings})
    if "buffer_capacity" in settings:
        config.replay_buffer_config = {
            "type": "EpisodeReplayBuffer",
            "capacity": settings["buffer_capacity"],
        }
    if "final_epsilon" in settings:
        config.epsilon = [
            [0, settings["initial_epsilon"]],
            [settings["epsilon_timesteps"], settings["final_epsilon"]],
        ]
    return config
