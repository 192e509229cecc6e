"""What a trial is not charged for: the loss of its machine, a batch too large for the memory."""

from __future__ import annotations

import re
from typing import Any

from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError
from ray.tune.experiment import Trial

#: Losses without a checkpoint in between that are not charged. More may be the trial's own doing: a
#: machine that it fills ends with it.
MOST = 5
#: How long Ray waits to be told why a process does not answer. At its own 1 s it reports a process
#: whose machine has died as one that may answer again; that machine is found dead in 15 to 30 s.
VARIABLES = {"RAY_timeout_ms_task_wait_for_death_info": "60000"}


class LossyTrial(Trial):
    """Keeps its retries for failures of its own.

    On a cluster that grows and shrinks a trial may lose more machines than it has retries.
    """

    #: Losses since its last checkpoint.
    losses = 0

    def handle_error(self, exc: Any = None) -> None:
        """Tune's, which counts the failure."""
        before = self.run_metadata.num_failures
        super().handle_error(exc)
        if is_loss(exc) and self.losses < MOST:
            self.losses += 1
            self.run_metadata.num_failures = before

    def on_checkpoint(self, checkpoint_result: Any) -> None:
        """The trial has got a step further."""
        super().on_checkpoint(checkpoint_result)
        self.losses = 0


def as_death(error: Exception) -> Exception:
    """The error of a trial's process as one that Tune handles: it died, or its work failed.

    Of any other Tune raises that it is unexpected, and ends the sweep (ray 2.60, RayActorManager):
    a process that Ray has ended because memory ran low, a report that was lost with its machine.
    """
    if not isinstance(error, RayError) or isinstance(error, RayActorError | RayTaskError):
        return error
    death: Exception = RayActorError(error_msg=f"The actor died unexpectedly: {error}")
    return death


def is_loss(error: Any) -> bool:
    """Whether an error is that of a machine: it died, or nothing is heard from it."""
    cut_off = isinstance(error, ActorUnavailableError)
    return cut_off or (isinstance(error, RayActorError) and bool(re.search(LOST, str(error))))


def lacks_memory(error: Exception) -> bool:
    """Whether an exception in a batch's process says that it, or its GPU, ran out of memory.

    A process that Ray ended because its machine ran low on memory is none: what an environment
    fills, smaller batches fill too. Where a capture runs out of memory torch raises something else,
    with the cause in its traceback.
    """
    if not isinstance(error, RayTaskError):
        return False
    return isinstance(error, MemoryError) or bool(re.search(FULL, str(error)))


#: What is said where memory is lacking: by torch's allocator on a GPU, by CUDA itself, by libraries
#: that have no room for their workspace (cuBLAS calls that "not initialized"), by torch on a CPU.
FULL = (
    r"OutOfMemoryError|CUDA error: out of memory|STATUS_ALLOC_FAILED|CUBLAS_STATUS_NOT_INITIALIZED"
    r"|DefaultCPUAllocator: (can't|not enough)"
)
#: What Ray says of a process whose machine was lost.
LOST = r"node has died|node was terminated|owner node|lost due to node failure"
