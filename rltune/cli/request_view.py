"""What a run will do, or did: its request, as a person reads it."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Any

from rich.table import Table

from rltune import envs, schedulers, searchers
from rltune.cli import console
from rltune.cli.spelling import spelling, typed
from rltune.options import UNTIL_RETURN
from rltune.processes import machine
from rltune.reports.numbers import bounds, clock, number, setting
from rltune.reports.words import episodes_in_words
from rltune.request import batches, capacity
from rltune.request.notes import longest_episode, notes, scored_episodes, scoring_cost
from rltune.spec import JobSpec, RunSpec

Rows = list[tuple[str, str]]


def show(spec: RunSpec, job: JobSpec, more: Rows) -> None:
    """Prints a request, and further rows behind it."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in [*rows(spec, job), *more]:
        table.add_row(label, text)
    console.output().print(table)


def rows(spec: RunSpec, job: JobSpec) -> Rows:
    """What is trained and searched. Nothing of the user's is imported for it."""
    return [
        ("what", _what(spec, job)),
        *_environments(spec),
        *_search(spec, job),
        *([("environments", spec.stepping)] if spec.stepping else []),
        ("ends", _end(spec)),
        ("seed", str(spec.seed)),
    ]


def start_rows(spec: RunSpec, job: JobSpec) -> Rows:
    """What a run will take of the machine it starts on, and its folder."""
    asked = spec.resources
    share = [f"{spec.cpus_of_a_trial:g} CPU"]
    share += [f"{asked.gpus_per_trial:g} GPU"] if asked.gpus_per_trial else []
    memory = asked.memory_per_trial
    share += [f"{memory / 2**30:.1f} GiB of memory"] if memory else []
    each = f"a trial has {', '.join(share)}"
    if asked.address is not None:
        where = f"Ray cluster at {asked.address}: {each}; what it has is checked at the start"
    else:
        slots = capacity.slots_here(spec)
        here = f"{machine.cores().amount} CPU here"
        where = f"{slots} {_s('trial', slots)} at a time ({here}); {each}"
        if batches.is_batched(spec):
            groups, seats = batches.size(spec, capacity.processes_here(spec))
            each = each.removeprefix("a trial has ")
            of = "batch" if groups == 1 else "batches"
            where = f"{groups} {of} of {seats} {_s('trial', seats)} ({here}); each has {each}"
            if sizes := batches.shaping(spec):
                where = (
                    f"trials with the same {', '.join(sizes)} train as one batch, up to {seats} "
                    f"each; {groups} {of} at a time ({here}), each has {each}"
                )
    found = [("machine", where)]
    if layouts := capacity.replay_layouts(spec):
        size = sum(layout.nbytes for layout in layouts)
        found.append(("replay buffer", f"{size / 1e6:,.0f} MB of memory a trial"))
    if spec.plays and spec.env_options.simulator != "gymnasium":
        found.append(("simulator", spec.env_options.simulator))
    return [*_scoring(spec, job), *found, ("stored in", f"{spec.storage}/{spec.name}")]


def note_rows(spec: RunSpec, job: JobSpec) -> Rows:
    """What should be read before it starts, but for what the plan says already."""
    said = scoring_cost(spec, job)
    return [("note", typed(note)) for note in notes(spec, job) if note != said]


def _what(spec: RunSpec, job: JobSpec) -> str:
    budget = spec.budget
    if not spec.plays:
        name = spec.env_id if spec.env in spec.env_id else f"{spec.env} ({spec.env_id})"
        return f"tunes {name}: {_trials(spec)}"
    on = f"{spec.algo} on {spec.env}"
    on += f" ({spec.env_id})" if spec.env != spec.env_id and spec.env in envs.INFOS else ""
    if job.job == "train":
        of = f"one preset on {budget.trials} training {_s('seed', budget.trials)}"
        return f"{on}: trains {of}, {number(budget.steps)} environment steps each"
    if job.job == "landscape":
        each = f"{budget.trials // job.seeds} settings on {job.seeds} {_s('seed', job.seeds)} each"
        return f"{on}: {each}, {_trials(spec)}"
    if job.job == "replay":
        arms = dict.fromkeys(name.partition("/")[0] for name in job.arms)
        return f"{on}: replays {', '.join(arms)}; {_trials(spec)}"
    return f"{on}: {_trials(spec)}"


def _environments(spec: RunSpec) -> Rows:
    """The scale of each of several environments, and what they share."""
    if not spec.environments:
        return []
    first, count = spec.environments[0].name, len(spec.environments)
    found = [
        ("batch", "off: trials in several environments do not train as batches"),
        ("settings", f"those of {first}, the first environment; budget and space too"),
    ]
    labels = ("scored", *[""] * (count - 1))
    for label, one in zip(labels, spec.environments, strict=True):
        low, high = number(one.random.mean), number(one.threshold)
        played = f"{one.random.episodes} episodes {bounds(one.random.ci95)}"
        found.append((label, f"{one.name}: 0 at {low}, random play ({played}); 1 at {high}"))
    return found


def _trials(spec: RunSpec) -> str:
    budget = spec.budget
    trials = f"{number(budget.trials)} {_s('trial', budget.trials)}"
    if budget.steps == UNTIL_RETURN:
        return f"{trials}, each until it ends by itself"
    steps = "environment steps" if spec.plays else "steps"
    total = number(budget.most_steps)
    if spec.environments:
        each = number(budget.steps // len(spec.environments))
        steps += f" in {len(spec.environments)} environments ({each} in each)"
    if budget.seeds_per_trial > 1:
        trials = f"{number(budget.trials)} settings on up to {budget.seeds_per_trial} seeds each"
    if budget.controls:
        controls = f"{budget.controls} {_s('control', budget.controls)}"
        trials += f" ({budget.trials - budget.controls} members and {controls})"
    return f"{trials} x {number(budget.steps)} {steps}, {total} at most"


def _search(spec: RunSpec, job: JobSpec) -> Rows:
    if not job.searches:
        return []
    budget, scheduler = spec.budget, schedulers.row(spec.budget.scheduler)
    decides = "" if budget.scheduler == "fifo" else f", every {number(budget.perturb_every)} steps"
    aware = ", of several suggestions the one that pays by the second" if budget.cost_aware else ""
    tuned = ", ".join(map(str, spec.goals))
    found = [("objectives", tuned)] if spec.objective else []
    found += [
        ("scheduler", f"{budget.scheduler}{decides}: {scheduler.doc}"),
        ("searcher", f"{budget.searcher}{aware}: {searchers.SEARCHERS[budget.searcher].doc}"),
    ]
    for label, name in zip(("searched", *[""] * len(spec.space)), spec.space, strict=False):
        starts = f", starts at {setting(spec.settings[name])}" if name in spec.settings else ""
        found.append((label, f"{name}: {spec.space[name]}{starts}"))
    if points := min(len(spec.points), spec.budget.trials):
        found.append(("points", f"{points} {_s('trial', points)} start from"))
    former = Counter(one.id.partition("/")[0] for one in spec.former if not one.left_out)
    if former:
        runs = ", ".join(f"{number(count)} of {name}" for name, count in former.items())
        found.append(("learns from", f"trials of former runs: {runs}"))
    return found


def _end(spec: RunSpec) -> str:
    budget = spec.budget
    ends = [] if budget.target in (None, inf, -inf) else [f"{spec.metric} {number(budget.target)}"]
    ends += [f"{clock(budget.time_budget)} of wall time"] if budget.time_budget else []
    if budget.total_steps:
        ends.append(f"{number(budget.total_steps)} steps of all trials together")
    return f"at {' or '.join(ends)}, or with the last trial" if ends else "with the last trial"


def _scoring(spec: RunSpec, job: JobSpec) -> Rows:
    episodes = scored_episodes(spec, job)
    if not episodes:
        return []
    longest = longest_episode(spec)
    cost = f", up to {number(episodes * longest)} environment steps" if longest else ""
    fewer = f"fewer with {spelling('episodes')} and {spelling('selection_episodes')}"
    of = episodes_in_words(spec)
    return [("scoring", f"{number(episodes)} {of} on fresh seeds{cost}; {fewer}")]


def _s(word: str, count: Any) -> str:
    return word if count == 1 else f"{word}s"
