"""What members of PPO have in common."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PPOShape:
    """What all members of a batch have in common.

    Attributes:
        copies: of the environment each member has, E.
        steps: each copy takes before the updates, T.
        minibatch: transitions in an update.
        epochs: passes over the transitions.
        use_kl: whether the loss has a term for the KL divergence.
        use_critic: whether it has one for the values.
        normalize_rewards: whether rewards are scaled.
        clip_rewards: see :func:`rltune.engine.rollout.clip_rewards`.
        within_step: whether new episodes begin in the step that ends one (gymnasium's SAME_STEP
            autoreset), or in one of their own (NEXT_STEP).
    """

    copies: int
    steps: int
    minibatch: int
    epochs: int
    use_kl: bool = True
    use_critic: bool = True
    normalize_rewards: bool = False
    clip_rewards: bool | float | None = None
    within_step: bool = False

    @property
    def parts(self) -> int:
        """Minibatches in an epoch, of even sizes."""
        return max(1, round(self.steps * self.copies / self.minibatch))
