"""The GPU, or the part of one, that is set aside for a trial's process."""

from __future__ import annotations

import os
import socket

import torch

from rltune.errors import MachineError
from rltune.processes.torch_build import FAKE, torch_cuda

#: Keeps Ray from showing each process the GPUs that are set aside for it, and no others.
ALL_VISIBLE = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"


def device_for(gpus: float) -> torch.device:
    """The device that a process trains on; of a part of a GPU, it gets that part of the memory.

    Args:
        gpus: set aside for the process.

    Raises:
        MachineError: a GPU is set aside, and torch sees none: training on a CPU would look alike;
            or it sees those of other processes too.
    """
    if not gpus or os.environ.get(FAKE):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise MachineError(
            f"a GPU is reserved, and torch sees none on {socket.gethostname()}: {_why()}"
        )
    if os.environ.get(ALL_VISIBLE, "0") not in ("", "0") and torch.cuda.device_count() > 1:
        raise MachineError(
            f"{ALL_VISIBLE} is set: every trial would train on the first of "
            f"{torch.cuda.device_count()} GPUs. Unset it."
        )
    torch.cuda.set_per_process_memory_fraction(memory_share(gpus))
    # Else cuDNN may add gradients up in an order that varies: no run could be repeated exactly.
    torch.backends.cudnn.deterministic = True
    return torch.device("cuda")


def memory_share(gpus: float) -> float:
    """The part of a GPU's memory that a process may take."""
    return min(1.0, gpus)


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that this process may still take: what is free, and within its share."""
    # Not every function of torch's takes a device without a number.
    number = torch.cuda.current_device() if device.index is None else device.index
    free, total = torch.cuda.mem_get_info(number)
    share = getattr(torch.cuda, "get_per_process_memory_fraction", None)  # since torch 2.8
    own = torch.cuda.memory_reserved(number)
    return free_within(free, total, own, 1.0 if share is None else share(number))


def free_within(free: int, total: int, own: int, share: float) -> int:
    """Bytes that a process may still take of a GPU.

    Args:
        free: of the GPU; total: of the GPU; own: that the process has taken.
        share: of the total that it may take.
    """
    return max(0, min(free, int(total * share) - own))


def _why() -> str:
    built = torch_cuda()
    if not built:
        return "it was built without CUDA; install one that was built with it"
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (
        f"it was built with CUDA {built}, which the driver may be too old for (nvidia-smi shows "
        f"it); CUDA_VISIBLE_DEVICES is {'not set' if shown is None else repr(shown)}"
    )
