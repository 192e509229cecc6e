"""The end of a run, as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rltune.cli.console import clock, number, setting
from rltune.envs import SPECS
from rltune.runs import RunFolder
from rltune.spec import RunSpec


def outcome(spec: RunSpec, summary: Mapping[str, Any]) -> RenderableType:
    """What came out, with its interval, and what to type next."""
    found = _seeds(summary) if spec.job == "train" else _best(spec, summary)
    shown = RunFolder(f"{spec.storage}/{spec.name}").shown
    return Group(
        *found,
        Text(
            f"{summary['env_steps']:,} environment steps in {clock(summary['wall_seconds'])}, "
            f"ended by: {summary['stop_reason']}",
            style="dim",
        ),
        Text("\nNext", style="bold"),
        Text(f"rltune board {shown}", no_wrap=True),
        Text(f"rltune evaluate {shown} --episodes 500", no_wrap=True),
        Text(f"rltune {spec.algo} {spec.env} --preset {shown}/best/preset.toml", no_wrap=True),
    )


def _best(spec: RunSpec, summary: Mapping[str, Any]) -> list[RenderableType]:
    """A sweep's best settings and the score of its best policy."""
    best, score = summary["best"], summary["evaluation"]
    settings = Table(box=None, pad_edge=False, show_header=False)
    settings.add_column(style="dim")
    settings.add_column()
    for name in spec.space:
        settings.add_row(name, setting(best["config"].get(name)))
    low, high = score["ci95"]
    return [
        Text(f"\nBest settings ({best['trial']})", style="bold"),
        settings,
        Text("\nScore", style="bold"),
        Text(
            f"{number(score['mean'])} mean return, 95 % interval "
            f"[{number(low)}, {number(high)}], IQM {number(score['iqm'])}"
        ),
        Text(f"over {score['episodes']} episodes on seeds no training used{_verdict(spec, score)}"),
        *_gap(summary.get("optimism_gap"), "what the sweep measured"),
    ]


def _seeds(summary: Mapping[str, Any]) -> list[RenderableType]:
    """A score a seed, and what they come to."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("trial", "steps", "seconds", "to threshold", "return"):
        table.add_column(name, justify="left" if name == "trial" else "right")
    for seed in summary["seeds"]:
        steps = seed["env_steps_to_threshold"]
        table.add_row(
            seed["trial"],
            f"{seed['env_steps']:,}",
            number(round(seed["train_seconds"])),
            "-" if steps is None else f"{steps:,}",
            number(seed["score"]),
        )
    together = summary["across_seeds"]
    low, high = together["ci95"]
    shown: list[RenderableType] = [
        Text("\nSeeds", style="bold"),
        table,
        Text("\nScore", style="bold"),
        Text(
            f"IQM {number(together['iqm'])}, 95 % interval [{number(low)}, {number(high)}], over "
            f"{together['seeds']} seeds, {together['episodes']} episodes each on seeds no training "
            "used"
        ),
    ]
    if together["threshold"] is not None:
        over = round(together["share_over_threshold"] * together["seeds"])
        shown.append(
            Text(
                f"{over} of {together['seeds']} seeds are over the threshold of "
                f"{number(together['threshold'])}"
            )
        )
    shown += _gap(together["optimism_gap"], "what each seed's policy was chosen by")
    if summary.get("certificate"):
        shown.append(Text(f"written to {summary['certificate']}"))
    return shown


def _gap(gap: float | None, who: str) -> list[RenderableType]:
    """How far the score lies below what was believed while choosing."""
    if gap is None:
        return []
    return [Text(f"optimism gap {number(gap)}: {who}, less this score", style="dim")]


def _verdict(spec: RunSpec, score: Mapping[str, Any]) -> str:
    threshold = SPECS[spec.env].threshold if spec.env in SPECS else None
    if threshold is None:
        return ""
    word = "solved" if score["mean"] >= threshold else "not solved"
    return f": {word}, the threshold is {number(threshold)}"
