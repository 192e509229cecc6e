"""Products of matrices on a CPU, by whichever of torch's two libraries is faster."""

from __future__ import annotations

from typing import Any

import torch

#: Multiplications from which oneDNN is faster: below, its 10 microseconds a call weigh more. On
#: processors by AMD torch's default library has no AVX-512, and takes twice as long.
LARGE = 1 << 21


def _onednn() -> Any:
    """What torch's compiler calls for linear layers; None in a build of torch without it."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    found: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    try:  # private to torch: it may go, or take other arguments
        one = torch.ones(1, 1)
        return found if found(one, one, one[0], "none", [], "").item() == 2.0 else None
    except (AttributeError, RuntimeError, TypeError):
        return None


_ONEDNN = _onednn()


def by_onednn(rows: int, weight: torch.Tensor) -> bool:
    """Whether oneDNN multiplies rows by weights (O, I): on a CPU alone."""
    large = rows * weight.numel() >= LARGE and _ONEDNN is not None
    return large and weight.dtype == torch.float32 and weight.is_cpu


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """``x @ weight.T + bias`` of x (N, I), weight (O, I) and bias (O,), without gradients."""
    if by_onednn(len(x), weight):
        found: torch.Tensor = _ONEDNN(x, weight, bias, "none", [], "")
        return found
    return torch.addmm(bias, x, weight.t())


def multiply(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """``a @ b`` of a (N, I) and b (I, O), without gradients; written to ``out`` if given."""
    if by_onednn(len(a), b):
        found: torch.Tensor = _ONEDNN(a, b.t(), None, "none", [], "")
        return found if out is None else out.copy_(found)
    return torch.mm(a, b) if out is None else torch.mm(a, b, out=out)
