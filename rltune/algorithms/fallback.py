"""What rltune reads of a trial that runs on RLlib's own engine."""

from __future__ import annotations

import math
from typing import Any

from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    EPISODE_RETURN_MEAN,
    LEARNER_RESULTS,
    NUM_EPISODES,
)

from rltune.algorithms.audit import Reading
from rltune.engine.divergence import Divergence


def check_metrics(result: dict[str, Any]) -> None:
    """Raises Divergence where the return or a loss of an iteration is not finite."""
    sampled = result[ENV_RUNNER_RESULTS]
    score = sampled.get(EPISODE_RETURN_MEAN, 0.0)
    # RLlib reports not a number until an episode has ended.
    if math.isinf(score) or (math.isnan(score) and sampled.get(NUM_EPISODES, 0)):
        raise Divergence("reward", score)
    for metrics in result.get(LEARNER_RESULTS, {}).values():
        loss = metrics.get("total_loss", 0.0) if isinstance(metrics, dict) else 0.0
        if not math.isfinite(loss):
            raise Divergence("loss", float(loss))


def fallback_readings(learner: Any, config: Any) -> list[Reading]:
    """The learning rate, read from the optimisers of a learner in this process."""
    if learner is None or config.is_multi_agent or getattr(config, "lr", None) is None:
        return []
    return [
        Reading("lr", "optimiser", group["lr"])
        for optimizer in learner._named_optimizers.values()
        for group in optimizer.param_groups
    ]
