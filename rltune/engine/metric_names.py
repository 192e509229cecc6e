"""Names of the metrics of a trial, for modules that must not take time to import."""

from __future__ import annotations

#: Means over a window of episodes. Each number of ``info`` is reported under the prefix and its
#: own name.
REWARD, LENGTH, PREFIX = "episode_reward_mean", "episode_len_mean", "episode_info/"

#: What a trial has spent, in every report: its own training seconds and its environment steps.
SECONDS, ENV_STEPS = "seconds", "env_steps"

#: Of a run in several environments: the mean over them of their own normalised scores.
NORMALIZED = "normalized_score"

#: What a learner's numbers are reported under: losses, entropy, gradient norm and the like.
LEARNER = "learner"
#: Where a trial of stock RLlib keeps the whole result, if it is asked for.
EVERYTHING = "rllib_result"
