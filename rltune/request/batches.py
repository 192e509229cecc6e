"""Whether the trials of a run train as batches, and how many to a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import gymnasium as gym

from rltune.catalog.probe import Probe
from rltune.errors import BadInput
from rltune.spec import RL, RunSpec

#: Those that learn from a replay buffer.
_REPLAY = frozenset(
    {
        *("gamma", "grad_clip", "tau", "target_network_update_freq", "training_intensity"),
        *("prioritized_replay_alpha", "prioritized_replay_beta"),
        "num_steps_sampled_before_learning_starts",
    }
)
#: Settings of each algorithm that members of one batch may differ in. Any other one that is
#: searched would need networks or steps of another shape.
MEMBERS_OWN: Mapping[str, frozenset[str]] = {
    "ppo": frozenset(
        {
            *("lr", "gamma", "lambda_", "clip_param", "entropy_coeff", "vf_loss_coeff"),
            *("vf_clip_param", "kl_coeff", "kl_target", "grad_clip", "noise_correlation"),
        }
    ),
    "dqn": _REPLAY | {"lr", "initial_epsilon", "final_epsilon", "epsilon_timesteps"},
    "sac": _REPLAY | {"actor_lr", "critic_lr", "alpha_lr", "initial_alpha", "noise_correlation"},
}

#: Algorithms whose trials train as batches without being asked, as measurements say they should.
BY_THEMSELVES = frozenset({"ppo"})


def resolved(spec: RunSpec, probe: Probe) -> RunSpec:
    """A request whose ``batch`` says what happens: "off", a number, or "auto" for all trials.

    ``auto`` is off where no GPU is asked for, a trial trains alone, nobody has measured that it
    helps the algorithm, observations are images, whose environments are too slow for one core to
    step those of many trials, or something is in the way.

    Raises:
        BadInput: a number is asked for, and something is in the way.
    """
    asked = spec.resources.batch
    if asked == "off":
        return spec
    found = problems(spec, probe)
    if asked == "auto":
        several = spec.budget.most_trials > 1
        images = len(probe.spaces(spec.settings)[0].shape or ()) == 3
        likely = is_likely(asked, spec.resources.gpus_per_trial, spec.algo)
        if likely and several and not images and not found:
            return spec
        return replace(spec, resources=replace(spec.resources, batch="off"))
    if found:
        raise BadInput([f"batch {asked}: {problem}" for problem in found])
    return spec


def problems(spec: RunSpec, probe: Probe) -> list[str]:
    """Why the trials of a run cannot train as a batch; empty where they can."""
    if spec.algo not in MEMBERS_OWN:
        others = ", ".join(MEMBERS_OWN)
        return [f"{spec.algo} does not train as a batch, {others} does: leave it out"]
    found = []
    if shapes := sorted({*spec.space} - MEMBERS_OWN[spec.algo]):
        found.append(
            f"members of a batch have {', '.join(shapes)} in common: search other settings alone"
        )
    if spec.settings["num_env_runners"]:
        found.append("a batch steps its environments itself: num_env_runners must be 0")
    if spec.env_options.simulator != "gymnasium":
        found.append("a batch steps gymnasium's environments: leave out the simulator")
    _, actions = probe.spaces(spec.settings)
    one_axis = isinstance(actions, gym.spaces.Box) and len(actions.shape) == 1
    if not (one_axis or isinstance(actions, gym.spaces.Discrete)):
        found.append(f"no batch acts in {type(actions).__name__}: leave it out")
    return found


def is_likely(batch: str, gpus_per_trial: float, algo: str) -> bool:
    """Whether trials will train as batches where nothing else is in the way.

    Args:
        batch: as it was asked for.
    """
    if batch == "auto":
        return algo in BY_THEMSELVES and gpus_per_trial > 0
    return algo in MEMBERS_OWN and batch != "off"


def is_batched(spec: RunSpec) -> bool:
    """Whether the trials of a resolved run train as batches."""
    return spec.task == RL and spec.resources.batch != "off"


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
