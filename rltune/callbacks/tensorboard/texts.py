"""Exploits, restores and failures in words, as texts of TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltune.runs.lineage import Segment
from rltune.runs.records import Decision, Failure


def decision_text(decision: Decision, before: Mapping[str, Any] | None) -> str:
    """A decision as Markdown: who continues from whom, and what changes.

    Args:
        before: the trial's settings until then; None where they are not known.
    """
    trial, at = decision.trial, f"step {decision.env_steps:,}"
    if decision.error:
        return f"**{trial}** at {at}: {decision.kind} failed: {decision.error}"
    if decision.kind == "exploit":
        step = decision.donor_env_steps
        age = "" if step is None else f" as it was at its step {step:,}"
        told = f"**{trial} <- {decision.donor}** at {at}: continues from {decision.donor}{age}"
    else:
        told = f"**{trial}** at {at}: {decision.kind}"
    now = decision.effective or decision.requested
    old = before or now
    return told + _table({k: (old.get(k), v) for k, v in now.items() if old.get(k) != v})


def failure_text(failure: Failure, continues_from: int | None) -> str:
    """A failure as Markdown, and whether the trial continues."""
    after = "given up" if continues_from is None else f"tried again from step {continues_from:,}"
    return f"failed, {after}: {failure.error}"


def segment_text(segment: Segment) -> str:
    """What trained the champion's weights from here on, as Markdown."""
    told = f"**{segment.trial}**"
    if segment.donor is not None:
        told = f"**{segment.trial} <- {segment.donor}**"
    steps = f"steps {segment.begin:,} to {segment.end:,} of {segment.trial}"
    change = segment.change or {name: (None, value) for name, value in segment.settings.items()}
    return f"{told}: {steps}" + _table(change)


def _table(change: Mapping[str, tuple[Any, Any]]) -> str:
    """Settings before and now; nothing where none changes."""
    rows = [f"| {name} | {_shown(old)} | {_shown(now)} |" for name, (old, now) in change.items()]
    return "\n".join(["", "", "| setting | before | now |", "|---|---|---|", *rows]) if rows else ""


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
