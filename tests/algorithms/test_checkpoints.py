"""A checkpoint is whole, or is refused with what is wrong with it."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from rltune import __version__
from rltune.errors import BadCheckpoint
from rltune.runs.checkpoints import MANIFEST, SCHEMA, holds, seal, verify


def _checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint_000001"
    (folder / "learner").mkdir(parents=True)
    (folder / "learner" / "state.bin").write_bytes(os.urandom(3_000_000))
    (folder / "replay.npz").write_bytes(b"transitions")
    (folder / "empty").touch()
    seal(folder, "dqn")
    return folder


def _edit_manifest(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_manifest_lists_every_file_with_size_and_checksum(tmp_path: Path) -> None:
    folder = _checkpoint(tmp_path)
    content = (folder / "learner" / "state.bin").read_bytes()
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest == {
        "schema": SCHEMA,
        "algo": "dqn",
        "rltune": __version__,
        "files": {
            "empty": [0, 0],
            "learner/state.bin": [3_000_000, zlib.crc32(content)],
            "replay.npz": [11, zlib.crc32(b"transitions")],
        },
    }
    verify(folder)
    verify(folder, "dqn")
    assert holds(folder, "replay.npz")
    assert not holds(folder, "other")


def test_a_seal_can_be_renewed(tmp_path: Path) -> None:
    folder = _checkpoint(tmp_path)
    (folder / "record.json").write_text("{}")
    verify(folder)  # a file that nobody sealed does no harm
    assert not holds(folder, "record.json")
    seal(folder, "dqn")
    verify(folder)
    assert holds(folder, "record.json")
    assert not holds(folder, MANIFEST)


@pytest.mark.fault(47)
def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    folder = _checkpoint(tmp_path)
    file = folder / "learner" / "state.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BadCheckpoint, match=r"state\.bin is cut short.* 2999999 .*of 3000000"):
        verify(folder)


@pytest.mark.fault(47)
def test_a_flipped_bit_is_detected(tmp_path: Path) -> None:
    folder = _checkpoint(tmp_path)
    file = folder / "learner" / "state.bin"
    content = bytearray(file.read_bytes())
    content[2_000_000] ^= 1
    file.write_bytes(content)
    with pytest.raises(BadCheckpoint, match=r"state\.bin is damaged: its checksum"):
        verify(folder)


@pytest.mark.fault(47)
def test_a_checkpoint_of_another_algorithm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"is a checkpoint of dqn, not of ppo"):
        verify(_checkpoint(tmp_path), "ppo")


@pytest.mark.fault(47)
def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    folder = _checkpoint(tmp_path)
    _edit_manifest(folder, schema=SCHEMA + 1, rltune="9.1")
    with pytest.raises(BadCheckpoint, match=r"has format 3, written by rltune 9\.1; .*update"):
        verify(folder)


def test_a_missing_file_or_manifest_is_refused(tmp_path: Path) -> None:
    folder = _checkpoint(tmp_path)
    (folder / "empty").unlink()
    with pytest.raises(BadCheckpoint, match="empty is missing"):
        verify(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(BadCheckpoint, match=r"has no manifest\.json: it was never finished"):
        verify(folder)
    with pytest.raises(BadCheckpoint, match=r"has no manifest\.json"):
        verify(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ['{"schema": 2, "al', "[]", '{"schema": "x"}', '{"schema": 1}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    folder = _checkpoint(tmp_path)
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BadCheckpoint, match=r"manifest\.json is damaged"):
        verify(folder)


def test_files_are_left_out_or_picked(tmp_path: Path) -> None:
    folder = _checkpoint(tmp_path)
    (folder / "replay.npz").write_bytes(b"transitionz")
    verify(folder, skip=("replay.npz",))
    verify(folder, only=("empty",))
    with pytest.raises(BadCheckpoint, match=r"replay\.npz is damaged"):
        verify(folder, only=("replay.npz",))
    with pytest.raises(BadCheckpoint, match="never is missing"):
        verify(folder, only=("never",))
