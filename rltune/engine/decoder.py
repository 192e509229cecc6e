"""Decodes actions in torch as :mod:`rltune.engine.codec` does, for exported policies."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from rltune.engine.codec import ActionCodec, BoxCodec, DiscreteCodec, MultiDiscreteCodec


class Decoder(nn.Module):
    """Converts a policy's actions (N, ...) to the environment's, (N, *shape), in its dtype."""

    start: torch.Tensor
    from_: torch.Tensor
    to_: torch.Tensor
    least: torch.Tensor
    most: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    bounded: torch.Tensor

    def __init__(self, codec: ActionCodec) -> None:
        super().__init__()
        self.dtype = torch.from_numpy(np.zeros(0, codec.theirs.dtype)).dtype
        self.shape = codec.theirs.shape or ()
        self.stretches = isinstance(codec, BoxCodec)
        if isinstance(codec, BoxCodec):
            self.whole = codec.whole
            for name in ("from_", "to_", "least", "most", "bounded", "low", "high"):
                self.register_buffer(name, torch.from_numpy(np.asarray(getattr(codec, name))))
        elif isinstance(codec, DiscreteCodec | MultiDiscreteCodec):
            start = codec.theirs.start if isinstance(codec, DiscreteCodec) else codec.start
            self.register_buffer("start", torch.as_tensor(np.asarray(start, np.int64)))

    def forward(self, actions: torch.Tensor) -> torch.Tensor:
        """See :meth:`rltune.engine.codec.ActionCodec.decode`."""
        if self.stretches:
            actions = self._stretched(actions.double())
        shaped = actions.reshape(-1, *self.shape)
        return shaped if self.stretches else (shaped + self.start).to(self.dtype)

    def _stretched(self, said: torch.Tensor) -> torch.Tensor:
        share = (said.clamp(-1.0, 1.0) + 1.0) / 2.0
        values = self.from_ * (1.0 - share) + self.to_ * share
        raw = said.round() if self.whole else said
        values = torch.where(self.bounded, values.floor() if self.whole else values, raw)
        taken = torch.minimum(torch.maximum(values, self.least), self.most).to(self.dtype)
        if self.whole:
            return taken
        return torch.minimum(torch.maximum(taken, self.low), self.high)
