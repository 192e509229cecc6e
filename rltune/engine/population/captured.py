"""Work on a GPU: functions as one CUDA graph each, and transfers that wait for nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

#: Calls before a capture, as torch asks for: libraries allocate their workspaces in them.
WARM_UP = 2


class Captured:
    """A function without arguments that reads and writes tensors which stay where they are.

    On a GPU its first call captures it in a CUDA graph, and later ones replay that. The calls which
    warm it up are undone: ``state`` is as it was before each.

    Args:
        function: reads nothing back and allocates nothing that it needs in a later call.
        state: every tensor that it changes and reads.

    Attributes:
        seconds: what the capture took; 0 before it and on a CPU.
    """

    def __init__(
        self,
        function: Callable[[], None],
        state: Callable[[], list[torch.Tensor]],
        device: torch.device,
    ) -> None:
        self._function = function
        self._state = state
        self._device = device
        self._graph: torch.cuda.CUDAGraph | None = None
        self.seconds = 0.0

    def __call__(self) -> None:
        """Runs it."""
        if self._device.type != "cuda":
            self._function()
            return
        if self._graph is None:
            self._capture()
        assert self._graph is not None
        self._graph.replay()

    def _capture(self) -> None:
        began = time.perf_counter()
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            self._warm_up()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._function()
        torch.cuda.synchronize(self._device)
        self.seconds = time.perf_counter() - began

    def _warm_up(self) -> None:
        state = self._state()
        kept = [tensor.clone() for tensor in state]
        for _ in range(WARM_UP):
            self._function()
            with torch.no_grad():
                for tensor, before in zip(state, kept, strict=True):
                    tensor.copy_(before)


class Transfer:
    """Moves arrays between the host and a tensor that stays where it is, through pinned memory.

    Args:
        tensor: on any device.
    """

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor
        on_gpu = tensor.device.type == "cuda"
        self._host = (
            torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) if on_gpu else None
        )

    def send(self, array: np.ndarray) -> None:
        """Copies an array into the tensor. The device must have read the last one by now."""
        source = torch.from_numpy(array).view(self._tensor.shape)
        if self._host is None:
            self._tensor.copy_(source)
            return
        self._host.copy_(source)
        self._tensor.copy_(self._host, non_blocking=True)

    def receive(self) -> np.ndarray:
        """The tensor's numbers, once the device has computed them; valid until the next call."""
        if self._host is None:
            return self._tensor.numpy()
        self._host.copy_(self._tensor, non_blocking=True)
        torch.cuda.current_stream(self._tensor.device).synchronize()
        return self._host.numpy()
