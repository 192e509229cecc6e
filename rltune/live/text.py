"""Text that fits a width, and the characters that a terminal can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from rltune.live.sparkline import ASCII_BLOCKS, BLOCKS


@dataclass(frozen=True)
class Signs:
    """The characters that are drawn.

    Attributes:
        dot: between the parts of a line; ``arrow``: from an old value to a new one.
        bar: done and not done, of a bar.
    """

    dot: str = " · "
    arrow: str = "→"
    up: str = "▲"
    down: str = "▼"
    best: str = "★"
    more: str = "…"
    bar: str = "━╌"
    blocks: str = BLOCKS


UTF8, ASCII = Signs(), Signs(" | ", "->", "+", "-", "*", "...", "#.", ASCII_BLOCKS)


def fitted(parts: Sequence[str], width: int, between: str, signs: Signs) -> str:
    """Joins as many parts as fit, each after ``between``; says how many do not."""
    for count in range(len(parts), -1, -1):
        rest = f"{between}{signs.more}" if count < len(parts) else ""
        line = "".join(between + part for part in parts[:count]) + rest
        if len(line) <= width:
            return line
    return ""


def cut(text: str, width: int, signs: Signs, style: str = "") -> Text:
    """A text of words, shortened where it does not fit."""
    text = " ".join(text.split())
    if len(text) > width:
        text = text[: max(0, width - len(signs.more))] + signs.more
    return Text(text[:width], style=style)
