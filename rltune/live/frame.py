"""A running sweep as lines of text that fit a window of any size."""

from __future__ import annotations

import math

from rich.text import Text

from rltune.live.progress import EVALUATION, Progress
from rltune.live.table import BETTER, Table
from rltune.live.text import UTF8, Signs, cut, fitted
from rltune.reports.numbers import clock, number, setting
from rltune.request.batches import is_batched
from rltune.spec import CANDIDATES

#: Width of a bar of progress.
BAR = 20
#: What a sweep does when it has trained, in words.
EVALUATED = {
    "choosing": f"choosing the best of {CANDIDATES} policies",
    "scoring": "scoring it on fresh seeds",
}


def lines(
    progress: Progress, now: float, width: int, height: int, signs: Signs = UTF8
) -> list[Text]:
    """What is known of a sweep, in at most ``height`` lines of less than ``width`` characters.

    Args:
        now: seconds since 1970.
    """
    width -= 1  # a full line would be continued on the next one
    found = [head(progress, now, width, signs), doing(progress, width, signs)]
    if best := best_line(progress, width, signs):
        found.append(best)
    room = height - len(found) - 2
    if progress.seen and room > 0:
        found += Table(progress, width, room, signs).lines()
    for line in found:
        line.truncate(width)  # of a window that holds less than a trial and its score
    return found[: max(1, height)]


def plain(progress: Progress, now: float, signs: Signs = UTF8) -> str:
    """The same as one line, for pipes and log files."""
    parts = [*_name(progress), *_times(progress, now), _doing(progress)]
    if best := progress.best:
        parts.append(f"best {number(progress.goal.of(best.measured))} by {best.trial}")
    if progress.exploits:
        parts.append(f"{progress.exploits} exploit{'s' * (progress.exploits > 1)}")
    return signs.dot.join(parts)


def head(progress: Progress, now: float, width: int, signs: Signs) -> Text:
    """What runs, for how long, and the time that is left."""
    times, name = _times(progress, now), _name(progress)
    shorter = (name[:2] + times[:count] for count in reversed(range(len(times) + 1)))
    for parts in (name + times, *shorter):
        line = signs.dot.join(parts)
        if len(line) <= width:
            return Text(line, style="bold")
    return cut(line, width, signs, "bold")


def doing(progress: Progress, width: int, signs: Signs) -> Text:
    """What the sweep is doing now, and how far that is."""
    phase, text = progress.phase, _doing(progress)
    done, of = progress.done, progress.total
    if phase.name in EVALUATION:
        done, of = phase.done, phase.of
    if not of or phase.name not in ("training", *EVALUATION):
        return cut(text, width, signs)
    share = min(1.0, done / of)
    if len(text) > width:
        return cut(f"{phase.name} {int(share * 100)} %", width, signs)
    if len(text) + BAR + 6 > width:
        return Text(text)
    full = round(share * BAR)
    bar = signs.bar[0] * full, signs.bar[1] * (BAR - full)
    return Text.assemble(text, " ", (bar[0], "cyan"), (bar[1], "dim"), f" {int(share * 100)} %")


def best_line(progress: Progress, width: int, signs: Signs) -> Text | None:
    """The best score with the step and the settings that earned it."""
    best = progress.best
    if best is None:
        return None
    if width < 24:
        return None
    start = f"{signs.best} best {number(progress.goal.of(best.measured))} by {best.trial}"
    parts = [f"at step {best.env_steps:,}"]
    parts += [f"{name} {setting(value)}" for name, value in best.settings.items()]
    return Text.assemble((start, BETTER), fitted(parts, width - len(start), signs.dot, signs))


def _name(progress: Progress) -> list[str]:
    spec, batch = progress.spec, progress.spec.resources.batch
    found = [spec.algo, spec.env, spec.budget.scheduler]
    if is_batched(spec):
        found.append("in batches" if batch == "auto" else f"batches of {batch}")
    return found


def _times(progress: Progress, now: float) -> list[str]:
    """Time that has passed, and how much is left: probably, and at most."""
    elapsed = progress.seconds(now)
    found = [f"{clock(elapsed)} elapsed"]
    if progress.halted:
        return found
    outlook = progress.outlook()
    for words, end in (("likely", outlook.likely), ("at most", outlook.at_most)):
        if end is not None and end > elapsed and progress.summary is None:
            found.append(f"{words} {clock(end - elapsed)} left")
    target = progress.spec.budget.target
    if target is not None and math.isfinite(target) and progress.phase.name == "training":
        found.append(f"or at {progress.goal.words.removeprefix('mean ')} {number(target)}")
    return found


def _doing(progress: Progress) -> str:
    """What the sweep is doing, in words."""
    phase = progress.phase
    if phase.name == "training" or (progress.halted and phase.name not in EVALUATION):
        what = "halted" if progress.halted else phase.name
        most = f" of at most {progress.total:,}" if progress.total else ""
        return f"{what}: {progress.done:,}{most} steps"
    if phase.name in EVALUATION:
        sweep = progress.job.searches
        words = EVALUATED[phase.name] if sweep else f"{phase.name} policies"
        return f"{words}: {phase.done} of {phase.of} episodes"
    return progress.notice if phase.name == "starting" and progress.notice else phase.name
