"""What W&B keeps of an offline run, which ``wandb sync`` uploads: read from its file."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

#: The file is a log as LevelDB writes it, after a header of W&B's.
_BLOCK, _HEADER = 1 << 15, 7
_PAD, _FULL, _LAST = 0, 1, 4


@dataclass
class Kept:
    """An offline run.

    Attributes:
        history: rows, in order.
        artifacts: names of the files of each, by its name.
    """

    group: str = ""
    id: str = ""
    exit_code: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[str]] = field(default_factory=dict)

    def curve(self, tag: str) -> list[tuple[int, float]]:
        """Environment steps, and a value at each."""
        return [(row["env_steps"], row[tag]) for row in self.history if tag in row]


def read(folder: Path) -> list[tuple[str, Kept]]:
    """The name of each offline run below a folder, and what it holds, in the order of time."""
    files = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda f: f.stat().st_ctime)
    return [_read(file) for file in files]


def _read(file: Path) -> tuple[str, Kept]:
    name, kept = "", Kept()
    for body in _records(file.read_bytes()):
        record = Record.FromString(body)
        if record.HasField("run"):
            name = record.run.display_name
            kept.group, kept.id = record.run.run_group, record.run.run_id
            kept.config |= _items(record.run.config.update)
        elif record.HasField("config"):
            kept.config |= _items(record.config.update)
        elif record.HasField("history"):
            kept.history.append(_items(record.history.item))
        elif record.HasField("summary"):
            kept.summary |= _items(record.summary.update)
        elif record.HasField("artifact"):
            files = [entry.path for entry in record.artifact.manifest.contents]
            kept.artifacts[record.artifact.name] = sorted(files)
        elif record.HasField("exit"):
            kept.exit_code = record.exit.exit_code
    return name, kept


def _items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(data: bytes) -> Iterator[bytes]:
    at, whole = _HEADER, b""
    while at + _HEADER <= len(data):
        left = _BLOCK - at % _BLOCK
        length, kind = struct.unpack_from("<HB", data, at + 4)
        if left < _HEADER or kind == _PAD:
            at += left
            continue
        at += _HEADER
        whole += data[at : at + length]
        at += length
        if kind in (_FULL, _LAST):
            yield whole
            whole = b""
