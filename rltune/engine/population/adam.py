"""Adam of every member at once, each with its own rate, count and limit of its gradient."""

from __future__ import annotations

import torch

#: Decay of Adam's averages: torch's own, which all of RLlib's learners have.
BETAS = (0.9, 0.999)
#: Weights of a member from which a CPU updates member by member, in torch's fused kernel. With
#: fewer, its 9 microseconds a call weigh more than the other way's ten passes over all members.
ONE_BY_ONE = 1 << 13


class Adam:
    """Adam (Kingma & Ba 2015) on the rows of a flat tensor.

    Equal to ``torch.optim.Adam`` of each member by itself. A member that is not ``active`` in a
    step keeps weights, averages and count.

    Args:
        flat: the weights, shape (M, P), changed in place.
        epsilon: added to the root of the second average.

    Attributes:
        first, second: the averages of gradient and squared gradient, shape (M, P).
        steps: updates so far, shape (M, 1).
    """

    def __init__(self, flat: torch.Tensor, epsilon: float = 1e-8) -> None:
        self.flat = flat
        self.epsilon = epsilon
        self.first = torch.zeros_like(flat)
        self.second = torch.zeros_like(flat)
        self.steps = flat.new_zeros((len(flat), 1))

    @torch.no_grad()
    def step(self, gradient: torch.Tensor, rate: torch.Tensor, active: torch.Tensor) -> None:
        """Applies one update.

        Args:
            gradient: shape (M, P), finite where the member is active; overwritten.
            rate: learning rates, shape (M, 1).
            active: bool, shape (M, 1).
        """
        if self.flat.is_cpu and self.flat.shape[1] >= ONE_BY_ONE:
            self._step_each(gradient, rate, active)
            return
        share = active.to(gradient.dtype)
        self.steps += share
        count = self.steps.clamp_min(1)
        gradient = gradient.masked_fill_(~active, 0.0)
        self.first.lerp_(gradient, share * (1 - BETAS[0]))
        self.second.lerp_(gradient.square_(), share * (1 - BETAS[1]))
        root = torch.sqrt(self.second, out=gradient)
        root.div_((1 - BETAS[1] ** count).sqrt_()).add_(self.epsilon)
        step = rate * share / (1 - BETAS[0] ** count)
        self.flat.addcdiv_(self.first * -step, root)

    def _step_each(self, gradient: torch.Tensor, rate: torch.Tensor, active: torch.Tensor) -> None:
        """The same, member by member in one pass each."""
        for member, (acts, lr) in enumerate(zip(active.tolist(), rate.tolist(), strict=True)):
            if not acts[0]:
                continue
            count = self.steps[member, 0].add_(1)
            torch._fused_adam_(
                [self.flat[member]],
                [gradient[member]],
                [self.first[member]],
                [self.second[member]],
                [],
                [count.float()],
                lr=lr[0],
                beta1=BETAS[0],
                beta2=BETAS[1],
                weight_decay=0.0,
                eps=self.epsilon,
                amsgrad=False,
                maximize=False,
            )

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything of a member that is copied with it: rows of its tensors, by name."""
        return {"first": self.first, "second": self.second, "steps": self.steps}


def norms(gradient: torch.Tensor) -> torch.Tensor:
    """The norm of each member's gradient, shape (M, 1)."""
    found: torch.Tensor = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    return found


def clip(gradient: torch.Tensor, norm: torch.Tensor, limit: torch.Tensor) -> None:
    """Scales gradients (M, P) in place to a norm of at most ``limit`` (M, 1); inf for none."""
    if norm.is_cpu and bool((norm + 1e-6 <= limit).all()):
        return  # all factors would be 1
    gradient.mul_((limit / (norm + 1e-6)).clamp_(max=1.0))
