"""What the end of a run says in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from rltune.catalog.thresholds import threshold
from rltune.envs import INFOS
from rltune.reports.numbers import bounds, number
from rltune.runs.summary_record import Evaluation, Summary
from rltune.spec import RunSpec
from rltune.statistics import FEWEST_VALUES


def heading(text: str) -> Text:
    """The first line of a part."""
    return Text(f"\n{text}", style="bold")


def interval_in_words(interval: Sequence[float | None], of: str) -> str:
    """A 95 % interval, or how many values it would take."""
    found = bounds(interval)
    return (
        f"no 95 % interval (it takes {FEWEST_VALUES} {of})"
        if found == number(None)
        else f"95 % interval {found}"
    )


def unscored(summary: Summary) -> str:
    """What has no score, for a person to read; empty where all has."""
    episodes: dict[str, int] = {}
    for one in summary.unscored:
        episodes[one.phase] = episodes.get(one.phase, 0) + len(one.seeds)
    parts = [f"{count} episodes of {phase}" for phase, count in episodes.items()]
    if seeds := summary.unscored_seeds:
        parts.append(f"{', '.join(seeds)}, which no statistics here include")
    return f"not scored: {'; '.join(parts)}" if parts else ""


def verdict(spec: RunSpec, score: Evaluation) -> str:
    wanted = threshold(spec, INFOS.get(spec.env))
    if wanted is None or math.isnan(score.mean):
        return ""
    word = "solved" if score.mean >= wanted else "not solved"
    return f": {word}, the threshold is {number(wanted)}"


def optimism(gap: float | None, score: float, ci95: Sequence[float | None]) -> list[RenderableType]:
    """How much worse a score is than what it was chosen by; nothing where its interval is as wide.

    Args:
        gap: positive where the score is the worse one, whether a larger or a smaller one is better.
    """
    low, high = ci95
    if gap is None or low is None or high is None or math.isnan(gap + low + high):
        return []
    if abs(gap) <= max(score - low, high - score):
        return []
    text = f"optimism gap {number(gap)}: how much worse this score is than the one it was chosen by"
    return [Text(text, style="dim")]
