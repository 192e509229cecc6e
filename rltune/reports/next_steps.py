"""What to type after a run."""

from __future__ import annotations

from rltune.reports.run_view import RunView
from rltune.runs import commands
from rltune.runs.checkpoints import RECORD_FILE
from rltune.runs.folder import BEST
from rltune.spec import RL


def next_steps(run: RunView) -> list[tuple[str, str]]:
    """Commands, the most useful first, each with what it tells."""
    folder, spec = run.folder, run.spec
    board = (f"rltune board {folder.shown}", "all curves in TensorBoard")
    if run.state != "finished":
        return [(f"rltune resume {folder.shown}", "continues where it stopped"), board]
    if spec.task != RL:
        return [board]
    found = []
    if len({str(part.settings) for part in run.champion}) > 1 and run.job.job == "sweep":
        found.append((f"rltune replay {folder.shown}", "was it the schedule, or luck?"))
    preset = f"{folder.relative}/best/preset.toml"
    if folder.has("best/preset.toml"):
        seed = "" if run.job.job == "sweep" else f" --seed {spec.seed + 1}"
        train = commands.with_preset(spec, preset, train=True) + seed
        found.append((train, "were the settings lucky? Fresh seeds tell"))
    if folder.has(f"{BEST}/{RECORD_FILE}"):
        tighter = f"rltune evaluate {folder.shown} --episodes 500"
        found.append((tighter, "a tighter interval"))
        found.append((f"rltune play {folder.shown}", "watch the policy"))
    return [*found, board]
