"""Files of tensors in torch's weights-only format: reading one runs no code."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from rltune.errors import BadCheckpoint


def write(path: Path, values: Any) -> None:
    """Writes nested dicts of tensors."""
    torch.save(values, path)


def read(path: Path) -> dict[Any, Any]:
    """The nested dicts of tensors of a file, on the CPU.

    The file takes no more memory than it has bytes.

    Raises:
        BadCheckpoint: it holds anything else, or cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError("it is compressed")
        values = torch.load(path, weights_only=True, map_location="cpu")
        size = sum(tensor.numel() * tensor.element_size() for tensor in _leaves(values))
        if size > path.stat().st_size:
            raise ValueError(f"its tensors are said to take {size:,} bytes")
    except Exception as error:  # torch raises anything of a file that it cannot read
        raise BadCheckpoint(f"{path} cannot be read as tensors: {error}") from error
    if not isinstance(values, dict):
        raise BadCheckpoint(f"{path} cannot be read as tensors: it holds no dict of them")
    return values


def _leaves(values: Any) -> Iterator[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, dict):
        for value in values.values():
            yield from _leaves(value)
    else:
        raise TypeError(f"it holds a {type(values).__name__}")


def part(path: Path, held: dict[Any, Any], name: str, wanted: Iterable[str]) -> dict[Any, Any]:
    """One of the dicts that a file holds. Raises BadCheckpoint where it lacks what is wanted."""
    found = held.get(name)
    if not isinstance(found, dict) or not found.keys() >= set(wanted):
        shown = f"{name}: {', '.join(wanted)}"
        raise BadCheckpoint(f"{path} lacks {shown}; it is of another algorithm")
    return found


def check_shapes(path: Path, found: dict[str, torch.Tensor], wanted: dict[str, torch.Size]) -> None:
    """Raises BadCheckpoint where tensors are not those that are wanted, by name and shape."""
    if missing := wanted.keys() - found.keys():
        raise BadCheckpoint(f"{path} lacks {', '.join(sorted(missing))}: it is of another network")
    for name, shape in wanted.items():
        tensor = found[name]
        if not isinstance(tensor, torch.Tensor) or tensor.shape != shape:
            shown = list(getattr(tensor, "shape", [])) or type(tensor).__name__
            raise BadCheckpoint(
                f"{path}: {name} is {shown} and must be {list(shape)}: it is of another network"
            )
