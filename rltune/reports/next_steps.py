"""What to type after a run."""

from __future__ import annotations

from rltune.reports.run_view import RunView
from rltune.runs import commands
from rltune.runs.checkpoints import RECORD_FILE
from rltune.runs.folder import BEST
from rltune.runs.lineage import is_schedule


def next_steps(run: RunView) -> list[tuple[str, str]]:
    """Commands, the most useful first, each with what it tells."""
    folder, spec = run.folder, run.spec
    board = (f"rltune board {folder.shown}", "all curves in TensorBoard")
    if run.state != "finished":
        return [(f"rltune resume {folder.shown}", "continues where it stopped"), board]
    if run.summary is None or run.summary.best is None:
        return [board]  # nothing usable came out
    found = []
    changes = is_schedule(run.champion)
    told_apart = changes or spec.budget.controls
    if spec.environments:
        told_apart = 0  # a replay is in one environment
    if told_apart and run.job.job == "sweep" and folder.has(f"{BEST}/{RECORD_FILE}"):
        found.append((f"rltune replay {folder.shown}", "was it the schedule, or luck?"))
    if not spec.plays:
        return [*found, board]
    preset = f"{folder.relative}/best/preset.toml"
    # No preset holds the schedule of a replay.
    if folder.has("best/preset.toml") and not (changes and run.job.job == "replay"):
        seed = "" if run.job.searches else f" --seed {spec.seed + 1}"
        of = "" if len(spec.singles) == 1 else " in an environment of its own"
        for single in spec.singles:
            train = commands.with_preset(single, preset, train=True) + seed
            found.append((train, f"were the settings lucky{of}? Fresh seeds tell"))
    if folder.has(f"{BEST}/{RECORD_FILE}"):
        tighter = f"rltune evaluate {folder.shown} --episodes 500"
        found.append((tighter, "a tighter interval"))
        which = f" --env {spec.environments[0].name}" if spec.environments else ""
        found.append((f"rltune play {folder.shown}{which}", "watch the policy"))
    return [*found, board]
