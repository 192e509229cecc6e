"""The end of a run, as a person reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rltune.cli.console import bounds, clock, number, setting
from rltune.envs import INFOS
from rltune.runs import commands
from rltune.runs.bounds import on_bounds
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import (
    BestPolicy,
    Comparison,
    Evaluation,
    SeedStatistics,
    SettingOutcome,
    Summary,
)
from rltune.spec import RL, JobSpec, RunSpec
from rltune.statistics import FEWEST_VALUES

#: Settings of a race over seeds that are shown; summary.json has all.
SETTINGS_SHOWN = 8


def outcome(spec: RunSpec, job: JobSpec, summary: Summary) -> RenderableType:
    """What came out, with its interval, and what to type next."""
    if summary.arms is not None:
        found = _arms(summary.arms, summary.comparisons or [])
    elif summary.across_seeds is not None:
        found = _seeds(spec, summary, summary.across_seeds)
    else:
        found = _best(spec, summary)
    if note := unscored(summary):
        found = [*found, Text(note, style="yellow")]
    steps = "environment steps" if spec.task == RL else "steps"
    return Group(
        *found,
        Text(
            f"{summary.env_steps:,} {steps} in {clock(summary.wall_seconds)}, "
            f"ended by: {summary.stop_reason}",
            style="dim",
        ),
        Text("\nNext", style="bold"),
        *(Text(command, no_wrap=True, overflow="ignore") for command in _next(spec, job)),
        *_left_out(spec),
    )


def _next(spec: RunSpec, job: JobSpec) -> list[str]:
    """Commands to type next."""
    folder = RunFolder(f"{spec.storage}/{spec.name}")
    if spec.task != RL:
        return [f"rltune board {folder.shown}"]
    train = commands.with_preset(spec, f"{folder.relative}/best/preset.toml", train=True)
    # A sweep trains each of its settings once: whether they were lucky, fresh seeds tell.
    seed = "" if job.job == "sweep" else f" --seed {spec.seed + 1}"
    return [
        f"rltune board {folder.shown}",
        f"rltune evaluate {folder.shown} --episodes 500",
        train + seed,
    ]


def _left_out(spec: RunSpec) -> list[RenderableType]:
    names = ", ".join(commands.unsayable(spec))
    if not names:
        return []
    return [
        Text(
            f"{names}: no command line can hold it, give it from Python: rltune.train(..., "
            "env_args=...)"
        )
    ]


def _best(spec: RunSpec, summary: Summary) -> list[RenderableType]:
    """A sweep's best settings and the score of its best policy."""
    best = summary.best
    assert best is not None
    settings = Table(box=None, pad_edge=False, show_header=False)
    settings.add_column(style="dim")
    settings.add_column()
    settings.add_column(style="yellow")
    bounds = on_bounds(spec, best.config)
    for name in spec.space:
        mark = f"{bounds[name]} of its range" if name in bounds else ""
        settings.add_row(name, setting(best.config.get(name)), mark)
    return [
        Text(f"\nBest settings ({best.trial})", style="bold"),
        settings,
        *_advice(list(bounds)),
        *_race(spec, summary.settings or []),
        Text("\nScore", style="bold"),
        *(_reported(spec, best) if spec.task != RL else _score(spec, summary.evaluation)),
        *_gap(summary.optimism_gap, "what the sweep measured"),
    ]


def _race(spec: RunSpec, settings: Sequence[SettingOutcome]) -> list[RenderableType]:
    """The settings that had more than one seed, the best first, as far as there are any."""
    raced = [one for one in settings if len(one.trials) > 1]
    if not raced:
        return []
    raced.sort(key=lambda one: (len(one.trials), _judged(spec, one)), reverse=True)
    budget = spec.budget
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("trials", budget.judge, *(f"seed {n + 1}" for n in range(budget.seeds_per_trial))):
        table.add_column(name, justify="left" if name == "trials" else "right")
    for one in raced[:SETTINGS_SHOWN]:
        scores = [number(score) for score in one.scores]
        table.add_row(", ".join(one.trials), number(one.judged), *scores)
    few = f"{len(raced)} of {len(settings)} settings had more than one seed"
    return [Text(f"\n{spec.metric} by seed: {few}", style="bold"), table]


def _judged(spec: RunSpec, one: SettingOutcome) -> float:
    return -math.inf if one.judged is None else spec.goal.score(one.judged)


def _advice(names: Sequence[str]) -> list[RenderableType]:
    """What to do about settings on a bound of their range."""
    if not names:
        return []
    ranges = "the range" if len(names) == 1 else "the ranges"
    return [
        Text(
            f"Better values may lie outside: widen {ranges} of {', '.join(names)} with --space",
            style="yellow",
        )
    ]


def _reported(spec: RunSpec, best: BestPolicy) -> list[RenderableType]:
    """What the function reported with the best checkpoint."""
    return [Text("none" if best.score is None else f"{number(best.score)} {spec.goal}")]


def _score(spec: RunSpec, score: Evaluation | None) -> list[RenderableType]:
    """What the best policy reached on fresh seeds."""
    if score is None:
        return [Text("none yet")]
    interval = interval_in_words(score.ci95, "episodes")
    return [
        Text(f"{number(score.mean)} {spec.goal.words}, {interval}, IQM {number(score.iqm)}"),
        Text(f"over {score.episodes} episodes on seeds no training used{_verdict(spec, score)}"),
    ]


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


def _seeds(spec: RunSpec, summary: Summary, together: SeedStatistics) -> list[RenderableType]:
    """A score a seed, and what they come to."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in (
        "trial",
        "steps",
        "seconds",
        "to threshold",
        spec.goal.words.removeprefix("mean "),
    ):
        table.add_column(name, justify="left" if name == "trial" else "right")
    for seed in summary.seeds or []:
        steps = seed.env_steps_to_threshold
        table.add_row(
            seed.trial,
            f"{seed.env_steps:,}",
            number(round(seed.train_seconds)),
            "-" if steps is None else f"{steps:,}",
            number(seed.score),
        )
    interval = interval_in_words(together.ci95, "seeds")
    shown: list[RenderableType] = [
        Text("\nSeeds", style="bold"),
        table,
        Text("\nScore", style="bold"),
        Text(
            f"{spec.goal.words}: IQM {number(together.iqm)}, {interval}, over {together.seeds} "
            f"seeds, {together.episodes} episodes each on seeds no training used"
        ),
    ]
    if together.threshold is not None and together.share_over_threshold is not None:
        over = round(together.share_over_threshold * together.seeds)
        shown.append(
            Text(
                f"{over} of {together.seeds} seeds are over the threshold of "
                f"{number(together.threshold)}"
            )
        )
    shown += _gap(together.optimism_gap, "what each seed's policy was chosen by")
    if summary.certificate:
        shown.append(Text(f"written to {summary.certificate}"))
    return shown


#: The arms of a replay, in words.
ARMS = {
    "schedule": "the champion's schedule",
    "final": "its final settings held constant",
    "initial": "the best initial settings",
}


def _arms(
    arms: Mapping[str, SeedStatistics], comparisons: Sequence[Comparison]
) -> list[RenderableType]:
    """What each arm of a replay came to, and which is better, how surely."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("arm", "IQM", "95 % interval"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for name, arm in arms.items():
        table.add_row(ARMS[name], number(arm.iqm), bounds(arm.ci95))
    any_arm = next(iter(arms.values()))
    return [
        Text("\nSchedule or luck", style="bold"),
        table,
        Text(
            f"over {any_arm.seeds} fresh seeds an arm, {any_arm.env_steps:,} steps and "
            + (
                f"{any_arm.episodes} episodes each"
                if any_arm.episodes
                else "the last report of each"
            )
        ),
        *(Text(_sentence(comparison)) for comparison in comparisons),
    ]


def _sentence(comparison: Comparison) -> str:
    """A comparison of two arms, the better one first."""
    arm, over = comparison.arm, comparison.over
    probability, (low, high) = comparison.probability, comparison.ci95
    if probability < 0.5:
        arm, over = over, arm
        probability, low, high = 1 - probability, 1 - high, 1 - low
    if math.isnan(low):
        sure = f": too few seeds for an interval, it takes {FEWEST_VALUES} an arm"
    elif low == 1:  # nothing that a bootstrap could vary
        sure = ": in every pair of their seeds"
    else:
        sure = f" [{low:.2f}, {high:.2f}]" + ("" if low > 0.5 else ": no clear difference")
    return f"{ARMS[arm]} beat {ARMS[over]} with probability {probability:.2f}{sure}"


def _gap(gap: float | None, who: str) -> list[RenderableType]:
    """How far the score lies below what was believed while choosing."""
    if gap is None:
        return []
    return [Text(f"optimism gap {number(gap)}: {who}, less this score", style="dim")]


def _verdict(spec: RunSpec, score: Evaluation) -> str:
    threshold = INFOS[spec.env].threshold if spec.env in INFOS else None
    if threshold is None or math.isnan(score.mean) or not spec.goal.is_return:
        return ""
    word = "solved" if score.mean >= threshold else "not solved"
    return f": {word}, the threshold is {number(threshold)}"
