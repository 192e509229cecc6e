"""Whether the trials of a run can train as batches, and how many to a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rltune.spec import RL, RunSpec

#: Settings of each algorithm that members of one batch may differ in: any other one that is
#: searched would need networks or steps of another shape.
MEMBERS_OWN: Mapping[str, frozenset[str]] = {
    "ppo": frozenset(
        {
            *("lr", "gamma", "lambda_", "clip_param", "entropy_coeff", "vf_loss_coeff"),
            *("vf_clip_param", "kl_coeff", "kl_target", "grad_clip", "noise_correlation"),
        }
    ),
}


def problems(spec: RunSpec) -> list[str]:
    """Why the trials of a run cannot train as a batch; empty where they can."""
    if spec.task != RL:
        return ["a batch trains policies of rltune's own algorithms"]
    if spec.algo not in MEMBERS_OWN:
        return [f"{spec.algo} does not train as a batch: {', '.join(MEMBERS_OWN)} do"]
    found = []
    if shapes := sorted({*spec.space} - MEMBERS_OWN[spec.algo]):
        found.append(f"members of a batch have {', '.join(shapes)} in common: search without")
    if spec.settings.get("num_env_runners"):
        found.append("a batch steps its environments itself: num_env_runners must be 0")
    if spec.env_options.simulator != "gymnasium":
        found.append("a batch steps gymnasium's environments: leave out the simulator")
    return found


def is_batched(spec: RunSpec) -> bool:
    """Whether the trials of a run train as batches.

    ``auto`` is where a GPU is asked for, there are several trials, and nothing is in the way.
    """
    asked = spec.resources.batch
    if asked == "off":
        return False
    if asked != "auto":
        return True
    wanted = spec.resources.gpus_per_trial > 0 and spec.budget.most_trials > 1
    return wanted and not problems(spec)


def size(spec: RunSpec, fit: int) -> tuple[int, int]:
    """Batches that run side by side, and trials in each.

    Args:
        fit: processes that the machine or the cluster has room for.
    """
    budget, asked = spec.budget, spec.resources
    at_once = min(budget.trials, asked.concurrent or budget.trials)
    if asked.batch == "auto":
        groups = min(fit, at_once)
        return groups, math.ceil(at_once / groups)
    seats = min(int(asked.batch), at_once)
    return min(fit, math.ceil(at_once / seats)), seats
