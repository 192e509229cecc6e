"""``rltune compare ALGO ENV --methods random,asha,pbt``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from rltune.cli import console
from rltune.cli.live import watcher
from rltune.cli.outcome.words import heading
from rltune.cli.parse import values
from rltune.cli.sweep import failures
from rltune.errors import Interrupted, TrialsFailed
from rltune.races.methods import methods as methods_of
from rltune.races.race import Lap, Race, race
from rltune.reports.numbers import bounds, number
from rltune.runs.folder import RunFolder

if TYPE_CHECKING:
    from rltune.races.outcome import Outcome


def run(
    *,
    algo: str,
    env: str,
    methods: str,
    seeds: int,
    json: bool,
    quiet: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Checks every lap, runs them, and says which methods are told apart."""
    names = [name.strip() for name in methods.split(",") if name.strip()]
    asked = race(
        algo,
        env,
        methods_of(names),
        seeds=seeds,
        command=["rltune", *sys.argv[1:]],
        **values(options),
    )
    if dry_run:
        asked.check_free()
        _show_plan(asked, json)
        return
    try:
        asked.run(lambda lap: _lap(asked, lap, json=json, quiet=quiet))
    except Interrupted as error:
        folder = RunFolder(asked.folder)
        raise Interrupted(
            f"continue with the same command and --name {folder.path.name}: what is finished in "
            f"{folder.shown} stays"
        ) from error
    _conclude(asked, json)


def _lap(asked: Race, lap: Lap, *, json: bool, quiet: bool) -> None:
    """Runs one method on one seed, or continues it."""
    place = asked.laps.index(lap) + 1
    told = f"{lap.method.name}, repetition {lap.number + 1} of {asked.repetitions}"
    if not quiet:
        console.messages.print(f"\n{place} of {len(asked.laps)}: {told}", style="bold")
    with watcher(json=json, quiet=quiet, outcomes=False) as watch:
        watch.waiting("loading Ray and RLlib")
        lap.start([watch])


def _show_plan(asked: Race, json: bool) -> None:
    if json:
        console.print_json(asked.request)
        return
    out = console.output()
    spec = asked.laps[0].spec
    total = number(len(asked.laps) * asked.total_steps)
    out.print(
        f"{spec.algo} on {spec.env}: {len(asked.methods)} methods x {asked.repetitions} "
        f"repetitions x {number(asked.total_steps)} environment steps, {total} together",
        soft_wrap=True,
    )
    for method in asked.methods:
        lap = next(lap for lap in asked.laps if lap.method == method)
        trials = f"{number(lap.spec.budget.trials)} trials at most"
        out.print(f"  {method.name}: {method.in_words}; {trials}", soft_wrap=True)
    out.print(f"runs in {RunFolder(asked.folder).shown}", soft_wrap=True)


def _conclude(asked: Race, json: bool) -> None:
    from rltune.races.outcome import conclude

    outcome = conclude(asked)
    if json:
        console.print_json(outcome.to_dict())
    else:
        _show(asked, outcome)
    problems = [
        f"{lap.spec.name}: {problem}"
        for lap in asked.laps
        if (summary := lap.folder.summary) is not None
        for problem in failures(lap.folder, summary)
    ]
    if problems:
        raise TrialsFailed("\n".join(problems))


def _show(asked: Race, outcome: Outcome) -> None:
    out = console.output()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("method", "score", "95 % interval", "steps", "seconds", "against the leader"):
        table.add_column(name, justify="right" if name in ("score", "steps", "seconds") else "left")
    for one in outcome.standings:
        table.add_row(
            one.method,
            number(one.mean),
            bounds(one.ci95),
            number(round(sum(one.env_steps) / len(one.env_steps))),
            number(round(sum(one.seconds) / len(one.seconds))),
            one.verdict,
        )
    goal = asked.laps[0].spec.goal
    folder = RunFolder(asked.folder)
    out.print(heading("Methods"))
    out.print(table)
    out.print(
        Text(
            f"score: mean {goal.words.removeprefix('mean ')} of the best policy on fresh episodes; "
            f"steps: of a repetition, cloned and discarded work included",
            style="dim",
        ),
        soft_wrap=True,
    )
    out.print(heading("Verdict"))
    out.print(Text(outcome.sentence), soft_wrap=True)
    out.print(heading("Report"))
    out.print(Text(f"{folder.relative}/{outcome.report}"), soft_wrap=True)
