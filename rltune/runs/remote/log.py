"""What was added to the records of a run since they were last sent whole: one object a time.

An object store cannot append. Sending a file again for each line added to it would cost the square
of its length; here each piece is sent once, those of all files together, and files are sent whole
again only once as much has been added as they held. A piece says what it follows, by a checksum:
pieces that a file holds already change nothing, so that the two can be sent in any order.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rltune.errors import BadInput

#: Where the objects lie, below the run. Their names are numbers, in the order they were written.
LOG = ".store/log"


@dataclass(frozen=True)
class Piece:
    """A change of one file.

    Attributes:
        at: bytes of the file that it follows; 0 where it is the whole file; -1 for a removed file.
        crc: CRC-32 of these bytes.
    """

    name: str
    at: int
    crc: int
    content: bytes = b""

    @property
    def removes(self) -> bool:
        """Whether the file is gone."""
        return self.at < 0


def name_of(number: int) -> str:
    """The name of an object of the log."""
    return f"{LOG}/{number:012d}"


def number_of(name: str) -> int | None:
    """The number of an object of the log; None for any other."""
    above, _, digits = name.rpartition("/")
    return int(digits) if above == LOG and digits.isdecimal() and len(digits) == 12 else None


def packed(pieces: Sequence[Piece]) -> bytes:
    """An object of the log: a line that says what it holds, and the bytes."""
    heads = [[piece.name, piece.at, piece.crc, len(piece.content)] for piece in pieces]
    return json.dumps(heads).encode() + b"\n" + b"".join(piece.content for piece in pieces)


def unpacked(path: Path) -> Iterator[Piece]:
    """The pieces in an object of the log that was fetched.

    Raises:
        BadInput: it is damaged.
    """
    head, _, content = path.read_bytes().partition(b"\n")
    place = 0
    try:
        for name, at, crc, size in json.loads(head):
            piece = Piece(str(name), int(at), int(crc), content[place : place + int(size)])
            if len(piece.content) != int(size):
                raise ValueError("it is cut short")
            place += int(size)
            yield piece
    except (ValueError, TypeError) as error:
        raise BadInput(f"{path.name} of the log of a run is damaged: {error}") from error


def apply(piece: Piece, path: Path) -> None:
    """Makes a change of a file that was fetched; one that does not follow from it is left out."""
    if piece.removes:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    held = path.read_bytes() if piece.at and path.exists() else b""
    if len(held) < piece.at or zlib.crc32(held[: piece.at]) != piece.crc:
        return
    end = piece.at + len(piece.content)
    if piece.at and held[piece.at : end] == piece.content:
        return
    if piece.at and len(held) == piece.at:
        with path.open("ab") as file:
            file.write(piece.content)
        return
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(held[: piece.at] + piece.content)
    part.replace(path)
