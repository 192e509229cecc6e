"""Pictures of any size averaged to one size."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def average_pool(planes: torch.Tensor, size: int) -> torch.Tensor:
    """``nn.AdaptiveAvgPool2d`` of shape (..., height, width), to (..., size, size).

    As products with constant matrices where a network is exported, as ONNX has no such layer, and
    on a GPU, where torch's own adds gradients up in an order that varies from call to call
    (:func:`torch.use_deterministic_algorithms`): a run could not be repeated or resumed exactly.
    """
    if planes.is_cuda or torch.onnx.is_in_onnx_export():
        rows, columns = (_shares(side, size, planes) for side in planes.shape[-2:])
        return rows @ planes @ columns.T
    pooled = functional.adaptive_avg_pool2d(planes.flatten(0, -3).unsqueeze(1), size)
    return pooled.view(*planes.shape[:-2], size, size)


def _shares(side: int, size: int, like: torch.Tensor) -> torch.Tensor:
    """What each number of a side adds to each average, shape (size, side)."""
    eye = torch.eye(int(side), dtype=like.dtype, device=like.device)
    return functional.adaptive_avg_pool1d(eye, size).T.contiguous()


class AveragePool(nn.AdaptiveAvgPool2d):
    """torch's, computed by :func:`average_pool`."""

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Shape (N, C, height, width) to (N, C, size, size)."""
        assert isinstance(self.output_size, int)
        return average_pool(planes, self.output_size)
