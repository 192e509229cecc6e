"""What DQN's and SAC's members have in common, and what an update of theirs is given."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from rltune.engine.population.replay_layout import ReplayLayout


@dataclass(frozen=True)
class OffPolicyShape:
    """What all members of a batch have in common.

    Attributes:
        copies: of the environment each member has, E.
        steps: each copy takes between two rounds of updates, T.
        minibatch: transitions in an update, N.
        capacity: transitions that each member's buffer holds.
        n_step: rewards in a sum, at most.
        clip_rewards: see :func:`rltune.engine.rollout.clip_rewards`.
        frame_stack: number of frames in an observation.
        prioritized: whether transitions are drawn by their TD errors.
        within_step: whether new episodes begin in the step that ends one (gymnasium's SAME_STEP
            autoreset), or in one of their own (NEXT_STEP).
        at_once: updates whose transitions are drawn together. It changes no number.
    """

    copies: int
    steps: int
    minibatch: int
    capacity: int
    n_step: int = 1
    clip_rewards: bool | float | None = None
    frame_stack: int = 1
    prioritized: bool = False
    within_step: bool = False
    at_once: int = field(default=1, compare=False)

    def layout(
        self,
        obs_shape: tuple[int, ...],
        obs_dtype: torch.dtype,
        action_shape: tuple[int, ...],
        action_dtype: torch.dtype,
    ) -> ReplayLayout:
        """The buffer of each member, for observations and actions of these kinds."""
        return ReplayLayout(
            self.capacity,
            self.copies,
            obs_shape,
            obs_dtype,
            action_shape,
            action_dtype,
            self.frame_stack,
            self.prioritized,
        )


@dataclass(frozen=True)
class Batch:
    """Transitions of one update.

    Attributes:
        obs, next_obs: as they were stored, shape (M, N, ...).
        actions: shape (M, N, ...).
        rewards: discounted sums, shape (M, N).
        discounts: of the value of ``next_obs``: gamma to the number of rewards, 0 where the task
            ended, shape (M, N).
        weights: of each transition in the loss, shape (M, N).
    """

    obs: torch.Tensor
    next_obs: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    discounts: torch.Tensor
    weights: torch.Tensor
