"""The weights of all members in one tensor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch

#: A network's weights by name, each with the members as its first axis.
Views = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Layout:
    """Where each named tensor of a network lies in a row.

    Attributes:
        shapes: shape of each tensor in one member, in the order of the row.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, named: Mapping[str, torch.Tensor], order: Iterable[str] | None = None) -> Layout:
        """The layout of one member's tensors, or of those that ``order`` names."""
        names = list(named) if order is None else list(order)
        return cls({name: tuple(named[name].shape) for name in names})

    @property
    def size(self) -> int:
        """Numbers in a row."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def starts(self) -> dict[str, int]:
        """Where each tensor begins in a row."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        return dict(zip(self.shapes, accumulate(sizes, initial=0), strict=False))

    def span(self, names: Iterable[str]) -> slice:
        """The part of a row that some tensors take.

        Raises:
            ValueError: they do not lie side by side.
        """
        starts, wanted = self.starts, list(names)
        first = min(starts[name] for name in wanted)
        size = sum(math.prod(self.shapes[name]) for name in wanted)
        if any(starts[name] >= first + size for name in wanted):
            raise ValueError(f"{', '.join(wanted)} do not lie side by side")
        return slice(first, first + size)

    def views(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Views of rows (M, P) by name, each of shape (M, *shape)."""
        parts = torch.split(flat, [math.prod(shape) for shape in self.shapes.values()], dim=1)
        return {
            name: part.view(len(flat), *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


class Weights:
    """Weights of M members, one row each.

    Attributes:
        layout: what lies where in a row.
        flat: shape (M, P).
        views: the same memory by name; each is a leaf that gradients can be taken of.
    """

    def __init__(self, layout: Layout, flat: torch.Tensor, trained: bool = True) -> None:
        self.layout = layout
        self.flat = flat
        self.views: Views = {
            name: view.detach().requires_grad_(trained) for name, view in layout.views(flat).items()
        }

    @classmethod
    def stacked(
        cls,
        members: Sequence[Mapping[str, torch.Tensor]],
        layout: Layout,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Weights:
        """Weights of members given by name, such as ``state_dict()`` returns."""
        rows = [row_of(layout, member, dtype) for member in members]
        return cls(layout, torch.stack(rows).to(device))

    def copy(self) -> Weights:
        """The same weights in memory of their own, which no gradient is taken of."""
        return Weights(self.layout, self.flat.clone(), trained=False)

    def member(self, index: int) -> dict[str, torch.Tensor]:
        """One member's weights by name, on the CPU."""
        row = self.flat[index : index + 1].detach().cpu()
        return {name: view[0].clone() for name, view in self.layout.views(row).items()}

    def gradient(self, loss: torch.Tensor, out: torch.Tensor) -> None:
        """Writes the gradient of a sum of losses into ``out`` (M, P); 0 where there is none."""
        leaves = list(self.views.values())
        found: Any
        found = torch.autograd.grad(loss, leaves, allow_unused=True)
        for place, gradient in zip(self.layout.views(out).values(), found, strict=True):
            if gradient is None:
                place.zero_()
            else:
                place.copy_(gradient)


def row_of(
    layout: Layout, named: Mapping[str, torch.Tensor], dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """One member's tensors as a row, shape (P,)."""
    parts: list[Any] = [named[name].detach().reshape(-1).to(dtype) for name in layout.shapes]
    return torch.cat(parts)
