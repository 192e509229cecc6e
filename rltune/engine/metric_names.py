"""Names of the metrics of a trial, for modules that must not take time to import."""

from __future__ import annotations

#: Means over a window of episodes. Each number of ``info`` is reported under the prefix and its
#: own name.
REWARD, LENGTH, PREFIX = "episode_reward_mean", "episode_len_mean", "episode_info/"
