"""Work on a GPU: functions as one CUDA graph each, and transfers that wait for nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

#: Calls before a capture, as torch asks for: libraries allocate their workspaces in them.
WARM_UP = 2


class Graphs:
    """The CUDA graphs of one learner: one stream, and one pool of memory for what they compute.

    They are replayed one after the other and none reads what another one has allocated, so they
    may share memory. The stream is no other learner's: torch keeps the workspaces of libraries by
    stream, and frees those of a graph's stream when the graph ends (torch 2.13).

    Args:
        device: that they run on; on a CPU there are none.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._graphs: list[torch.cuda.CUDAGraph] = []
        self._stream: torch.cuda.Stream | None = None

    def capture(
        self, function: Callable[[], None], warm_up: Callable[[], None]
    ) -> torch.cuda.CUDAGraph:
        """Captures a function in a graph, after the calls that warm it up."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            warm_up()
        torch.cuda.current_stream(self.device).wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        pool = self._graphs[0].pool() if self._graphs else None
        with torch.cuda.graph(graph, pool=pool, stream=self._stream):
            function()
        torch.cuda.synchronize(self.device)
        self._graphs.append(graph)
        return graph

    def close(self) -> None:
        """Frees their memory, at once and not when Python finds that nobody needs them."""
        for graph in self._graphs:
            graph.reset()
        self._graphs.clear()


class Captured:
    """A function without arguments that reads and writes tensors which stay where they are.

    On a GPU its first call captures it in a CUDA graph, and later ones replay that. The calls which
    warm it up are undone: ``state`` is as it was before each.

    Args:
        function: reads nothing back and allocates nothing that it needs in a later call.
        state: every tensor that it changes and reads.
        graphs: of its learner.

    Attributes:
        seconds: what the capture took; 0 before it and on a CPU.
    """

    def __init__(
        self,
        function: Callable[[], None],
        state: Callable[[], list[torch.Tensor]],
        graphs: Graphs,
    ) -> None:
        self._function = function
        self._state = state
        self._graphs = graphs
        self._graph: torch.cuda.CUDAGraph | None = None
        self.seconds = 0.0

    def __call__(self) -> None:
        """Runs it."""
        if self._graphs.device.type != "cuda":
            self._function()
            return
        if self._graph is None:
            began = time.perf_counter()
            self._graph = self._graphs.capture(self._function, self._warm_up)
            self.seconds = time.perf_counter() - began
        self._graph.replay()

    def _warm_up(self) -> None:
        state = self._state()
        kept = [tensor.clone() for tensor in state]
        for _ in range(WARM_UP):
            try:
                self._function()
            finally:
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
        #: When the device has read the last array.
        self._read = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]

    def send(self, array: np.ndarray) -> None:
        """Copies an array into the tensor, once the device has read the last one."""
        source = torch.from_numpy(array).view(self._tensor.shape)
        if self._host is None or self._read is None:
            self._tensor.copy_(source)
            return
        self._read.synchronize()
        self._host.copy_(source)
        self._tensor.copy_(self._host, non_blocking=True)
        self._read.record(torch.cuda.current_stream(self._tensor.device))

    def receive(self) -> np.ndarray:
        """The tensor's numbers, once the device has computed them; valid until the next call."""
        if self._host is None:
            return self._tensor.numpy()
        self._host.copy_(self._tensor, non_blocking=True)
        torch.cuda.current_stream(self._tensor.device).synchronize()
        return self._host.numpy()
