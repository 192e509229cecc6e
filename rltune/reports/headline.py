"""The first words of a report: what was asked, and what came out."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rltune.catalog.thresholds import threshold
from rltune.envs import INFOS
from rltune.reports.champion import facts
from rltune.reports.comparison import Comparison as Runs
from rltune.reports.comparison import Entry
from rltune.reports.confidence import beside_controls, confidence
from rltune.reports.numbers import bounds, number
from rltune.reports.run_view import RunView
from rltune.reports.words import (
    ARMS,
    episodes_in_words,
    landscape_in_words,
    sentence,
    tail_in_words,
    verdict_in_words,
)
from rltune.runs.bounds import on_bounds
from rltune.runs.summary_record import Evaluation, SeedStatistics, Summary
from rltune.statistics import FEWEST_VALUES, better


def question(run: RunView) -> str:
    """What the run was to find out."""
    spec, goal = run.spec, run.goal
    what = f"{spec.algo.upper()} on {spec.env_id}" if spec.plays else spec.env_id or spec.env
    if run.job.job == "replay":
        return f"{what}: was it the schedule of settings, or luck?"
    if run.job.job == "landscape":
        return f"{what}: how do settings all over the space do?"
    if run.job.job == "train":
        return f"{what}: what do these settings reach on fresh seeds?"
    if spec.objective:
        names = [f"{'low' if one.mode == 'min' else 'high'} {one.name}" for one in spec.goals]
        return f"{what}: which settings does none beat in {', '.join(names[:-1])} and {names[-1]}?"
    most = "highest" if goal.mode == "max" else "lowest"
    metric = goal.words if spec.plays else goal.name
    return f"{what}: which settings give the {most} {metric}?"


def search_in_words(run: RunView) -> str:
    """How the answer was looked for, in a sentence."""
    spec, budget = run.spec, run.spec.budget
    trials = f"{budget.trials} trials" if budget.trials > 1 else "1 trial"
    if run.job.job == "landscape":
        settings = budget.trials // run.job.seeds
        return f"{settings} settings of a Sobol sequence, each trained on {run.job.seeds} seeds."
    if run.job.job != "sweep":
        return f"{len(run.reports)} training runs with given settings, each on a seed of its own."
    steps = "" if budget.steps >= 1 << 53 else f" of {budget.steps:,} steps"
    how = f"{budget.scheduler} with {budget.searcher} suggestions"
    searched = f"{len(spec.space)} settings" if len(spec.space) != 1 else "1 setting"
    seeds = f", up to {budget.seeds_per_trial} seeds each" if budget.seeds_per_trial > 1 else ""
    return f"{searched} searched by {how}: {trials}{steps}{seeds}."


def verdict(run: RunView) -> str:
    """What came out, in a sentence."""
    summary = run.summary
    if summary is None:
        return _unfinished(run)
    if summary.arms is not None:
        return _of_arms(run, summary.arms)
    if summary.across_seeds is not None:
        return _of_seeds(run, summary.across_seeds)
    if summary.landscape is not None:
        return f"{_capital(landscape_in_words(summary.landscape))}."
    if summary.best is None:
        return "Nothing usable came out: no trial left a policy with a score."
    if run.front:
        on_it, trials = len(run.front), len(run.objectives)
        best = f"{summary.best.trial} has the best {run.goal.name} of them"
        return f"{on_it} of {trials} trials are on the Pareto front; {best}."
    if summary.evaluation is not None:
        return f"{summary.best.trial} won{_solved(run, summary.evaluation)}."
    if run.spec.plays:
        return f"{summary.best.trial} leads; its policy has no score yet."
    return f"{summary.best.trial} won."


def how_sure(run: RunView) -> list[str]:
    """What is known about how sure the verdict is, in sentences; why nothing is, in one."""
    if run.summary is None:
        return ["Nothing is compared before the run has ended."]
    rivals = confidence(run.spec, run.summary)
    told = [f"{_capital(one.sentence)}." for one in rivals]
    if any(one.unit == "episodes" for one in rivals):
        told.append(
            "That is about policies of one training run each; of their settings, fresh seeds tell."
        )
    if controls := beside_controls(run.spec, run.summary):
        told.append(f"{_capital(controls)}.")
    told += [f"{_capital(sentence(one))}." for one in run.summary.comparisons or []]
    if verdict := verdict_in_words(run.summary, run.job):
        told.append(f"{_capital(verdict)}.")
    return told or [_why_unsure(run, run.summary)]


def _why_unsure(run: RunView, summary: Summary) -> str:
    """Why the winner of a finished run is compared with nothing."""
    if summary.arms is not None:
        return "One schedule alone has a score: there is nothing to compare it with."
    if summary.across_seeds is not None:
        return "All seeds trained with the same settings: the interval says how far they agree."
    if summary.best is None:
        return "There is no winner."
    if len(run.reports) < 2:
        return "No other trial has reported: there is nothing to compare the winner with."
    if summary.settings is not None:
        return "Fewer than two settings were trained on all of their seeds."
    if not run.spec.plays:
        return "A function's reports are its score: nothing is played again to compare trials by."
    if summary.evaluation is None:
        return "The winner has no score yet, so that no other policy is compared with it."
    if summary.rivals is None:
        return "The run is of an earlier version, which scored no policy but the winner's."
    return "No policy of another trial could be scored on the winner's episodes."


def remarks(run: RunView) -> list[str]:
    """What a reader of the verdict should know, in sentences."""
    if run.summary is None:
        return []
    known = facts(run.spec, run.summary, run.champion, run.reports)
    told = [f"{_capital(fact)}." for fact in known]
    best = run.summary.best if run.searches else None
    bounds_of = on_bounds(run.spec, best.config) if best else {}
    if run.summary.across_seeds is not None:
        told.append(f"{_capital(tail_in_words(run.summary.across_seeds))}.")
    told += [
        f"The best {name} is the {word} of its range: better values may lie outside, widen it."
        for name, word in bounds_of.items()
    ]
    return told


def score(run: RunView) -> dict[str, str]:
    """``value`` of the outcome, ``interval``, and what it is ``of``; empty where there is none."""
    summary = run.summary
    if summary is None or (summary.best is None and summary.arms is None):
        return {}
    if summary.arms:
        arm = summary.arms.get("schedule") or next(iter(summary.arms.values()))
        return _over_seeds(arm, "the champion's schedule")
    if summary.across_seeds is not None:
        return _over_seeds(summary.across_seeds, "all seeds")
    if summary.evaluation is not None:
        one = summary.evaluation
        episodes = episodes_in_words(run.spec)
        of = f"{run.goal.words} of {one.episodes} {episodes} on seeds no training used"
        if summary.best is not None:
            of += f", by the policy of {summary.best.trial} after {summary.best.env_steps:,} steps"
        return {"value": number(one.mean), "interval": interval(one.ci95, "episodes"), "of": of}
    best = summary.best
    if best is None or best.score is None:
        return {}
    of = f"{run.goal}, as {best.trial} reported it"
    return {"value": number(best.score), "interval": "", "of": of}


def interval(ends: tuple[float, float], unit: str) -> str:
    """A 95 % interval in words, or what it would take."""
    if math.isnan(ends[0]):
        return f"no interval: it takes {FEWEST_VALUES} {unit}"
    return f"95 % interval {bounds(ends)}"


def verdict_of(compared: Runs) -> str:
    """Which of several runs is better."""
    told = verdicts_of(compared)
    if len(told) > 1:
        return f"No single answer: the runs form {len(told)} groups that are compared separately."
    return told[0] if told else "None of the runs has a score yet."


def verdicts_of(compared: Runs) -> list[str]:
    """A sentence for each set of entries that can be compared."""
    told = []
    panels = list(dict.fromkeys(entry.panel for entry in compared.entries))
    for panel in panels:
        entries = [entry for entry in compared.entries if entry.panel == panel]
        ranked = sorted(entries, key=lambda one: compared.goal.score(one.iqm), reverse=True)
        where = f"{panel}: " if len(panels) > 1 else ""
        first = f"{where}{ranked[0].name} has the best IQM, {number(ranked[0].iqm)}"
        told.append(f"{first}{_lead(compared, *ranked[:2]) if len(ranked) > 1 else ''}.")
    return told


def _lead(compared: Runs, first: Entry, second: Entry) -> str:
    goal = compared.goal
    sure = better(goal.scores(first.scores), goal.scores(second.scores))
    low, high = sure["ci95"]
    known = f" [{low:.2f}, {high:.2f}]" if math.isfinite(low) else ", too few for an interval"
    chance = f"probability {sure['probability']:.2f}{known}"
    if low > 0.5:
        return f", and clearly beats {second.name} ({chance})"
    return f", but no clear lead over {second.name} ({chance})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _unfinished(run: RunView) -> str:
    if run.winner is None:
        return "The run has not finished, and no trial has reported yet."
    value = run.best_score(run.winner)
    best = "" if value is None else f" with {number(run.goal.score(value))}"
    return (
        f"The run has not finished. {run.winner} leads{best} after {run.env_steps:,} steps of all "
        "trials; nothing is scored on fresh seeds yet."
    )


def _of_arms(run: RunView, arms: Mapping[str, SeedStatistics]) -> str:
    ranked = sorted(arms, key=lambda name: run.goal.score(arms[name].iqm), reverse=True)
    first, *others = ranked
    told = f"{_capital(ARMS.get(first, first))} came to {number(arms[first].iqm)}"
    if not others:
        return f"{told}; no other schedule has a score."
    told, second = f"{told}, the best", others[0]
    pairs = run.summary.comparisons if run.summary else None
    pair = next((one for one in pairs or [] if {one.arm, one.over} == {first, second}), None)
    low = math.nan
    if pair is not None:
        low = pair.ci95[0] if pair.arm == first else 1 - pair.ci95[1]
    if low > 0.5:
        return f"{told}, and clearly better than {ARMS.get(second, second)}."
    return f"{told}, but no clear lead over {ARMS.get(second, second)}: it may be luck."


def _of_seeds(run: RunView, together: SeedStatistics) -> str:
    iqm = f"An IQM of {number(together.iqm)} over {together.seeds} seeds"
    if together.threshold is None or together.share_over_threshold is None:
        return f"{iqm}."
    over = round(together.share_over_threshold * together.seeds)
    return (
        f"{iqm}; {over} of {together.seeds} are over the threshold of {number(together.threshold)}."
    )


def _over_seeds(of: SeedStatistics, what: str) -> dict[str, str]:
    found = {"value": number(of.iqm), "interval": interval(of.ci95, "seeds")}
    return {**found, "of": f"IQM of {of.seeds} training seeds: {what}"}


def _solved(run: RunView, evaluation: Evaluation) -> str:
    wanted = threshold(run.spec, INFOS.get(run.spec.env))
    if wanted is None or math.isnan(evaluation.mean):
        return ""
    word = "and solved the task" if evaluation.mean >= wanted else "but the task is not solved"
    return f" {word}: {number(evaluation.mean)} where the threshold is {number(wanted)}"
