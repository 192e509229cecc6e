"""The part of a GPU that a process gets; what needs none is tested without one."""

from __future__ import annotations

import pytest
import torch

from rltune.engine.gpu import ALL_VISIBLE, device_for, free_memory, free_within, memory_share
from rltune.errors import MachineError
from rltune.processes.torch_build import FAKE

GIB = 1 << 30


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_reserved_gpu_that_torch_does_not_see_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training on a CPU instead would look alike."""
    assert device_for(0.0).type == "cpu"
    for gpus in (0.25, 1.0):
        with pytest.raises(MachineError, match="a GPU is reserved, and torch sees none on"):
            device_for(gpus)
    monkeypatch.setenv(FAKE, "1")
    assert device_for(1.0).type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_part_of_a_gpu_has_that_part_of_its_memory() -> None:
    device = device_for(0.25)
    total = torch.cuda.mem_get_info(device)[1]
    try:
        with pytest.raises(torch.cuda.OutOfMemoryError):
            torch.empty(int(total * 0.3), dtype=torch.uint8, device=device)
        torch.empty(int(total * 0.1), dtype=torch.uint8, device=device)
        assert 0 < free_memory(device) <= 0.25 * total
    finally:
        device_for(1.0)


def test_convolutions_on_a_gpu_are_those_that_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU the driver's answers are made up."""
    if not torch.cuda.is_available():
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share: None)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    device_for(0.0)
    assert not torch.backends.cudnn.deterministic
    device_for(1.0)
    assert torch.backends.cudnn.deterministic


def test_a_process_that_sees_the_gpus_of_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """All would train on the first one. The driver's answers are made up."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv(ALL_VISIBLE, "1")
    with pytest.raises(MachineError, match=f"{ALL_VISIBLE} is set.* the first of 2 GPUs. Unset it"):
        device_for(1.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_free_memory_is_asked_for_by_the_number_of_a_gpu(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's answers are made up; torch's functions look at what they are given."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "memory_reserved", {1: 5 * GIB}.__getitem__)
    monkeypatch.setattr(torch.cuda, "mem_get_info", {1: (60 * GIB, 80 * GIB)}.__getitem__)
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    fraction = {1: 0.25}.__getitem__
    monkeypatch.setattr(torch._C, "_cuda_getMemoryFraction", fraction, raising=False)
    assert free_memory(torch.device(device)) == 15 * GIB


@pytest.mark.parametrize(("gpus", "share"), [(0.25, 0.25), (1.0, 1.0), (2.0, 1.0)])
def test_memory_is_shared_as_the_gpu_is(gpus: float, share: float) -> None:
    assert memory_share(gpus) == share


@pytest.mark.parametrize(
    ("free", "own", "share", "left"),
    [
        (80, 0, 1.0, 80),
        (80, 0, 0.25, 20),
        (10, 0, 0.25, 10),  # others take more than their share
        (60, 15, 0.25, 5),
        (60, 25, 0.25, 0),
    ],
)
def test_free_memory_is_what_is_left_of_the_share(
    free: int, own: int, share: float, left: int
) -> None:
    assert free_within(free * GIB, 80 * GIB, own * GIB, share) == left * GIB
