"""What a whole run will take, from what its first seconds took."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from rltune.live import prediction
from rltune.options import UNTIL_RETURN
from rltune.plans.measuring import Measured
from rltune.request import capacity
from rltune.sweeps.trial_table import CHECKPOINTS_KEPT

#: Seconds that a run takes after its policies are scored: its summary, report and the end of Ray.
ENDING = 2.0
#: Bytes of the files that a run has once, report.html by far the largest.
ONCE = 6_000_000


@dataclass(frozen=True)
class Forecast:
    """What a whole run will take.

    Attributes:
        seconds: from the command to its end, if no target ends it sooner; None if unknown.
        at_most: the same where trials are slower or never stopped; None without a bound.
        speed: environment steps a second of all trials together.
        env_steps: of the whole budget; None where functions end by themselves.
        disk: bytes of the run folder at its end.
        memory: bytes of all trials that run at a time, with full replay buffers; None if unknown.
        gpu_memory: the same of GPUs.
        trials: at a time; ``fit``: those that the free memory has room for, None if unknown.
    """

    seconds: float | None
    at_most: float | None
    speed: float
    env_steps: int | None
    disk: int
    memory: int | None
    gpu_memory: int | None
    trials: int
    fit: int | None


def forecast(measured: Measured, free_memory: int) -> Forecast:
    """Predicts a whole run.

    Args:
        free_memory: bytes of the machine that its trials may take, before any of them runs.
    """
    known, budget = measured.known, measured.spec.budget
    outlook = prediction.predict(replace(known, budget=replace(known.budget, target=None)))
    around = measured.before + ENDING
    work = known.work
    memory, fit = _memory(measured), None
    if memory is not None:
        fit = math.floor(free_memory / (memory / measured.trials))
    return Forecast(
        None if outlook.likely is None else outlook.likely + around,
        None if outlook.at_most is None else outlook.at_most + around,
        speed_of(measured),
        None if budget.steps == UNTIL_RETURN else budget.most_steps,
        _disk(measured, sum(each.env_steps for each in work) / len(work)),
        memory,
        measured.gpu_memory,
        measured.trials,
        fit,
    )


def speed_of(measured: Measured) -> float:
    """Environment steps a second of all trials together."""
    work, trials = measured.known.work, measured.trials
    return trials * sum(each.env_steps for each in work) / sum(each.seconds for each in work)


def _memory(measured: Measured) -> int | None:
    """Bytes of the trials that run at a time once their replay buffers are full."""
    layouts = capacity.replay_layouts(measured.spec)
    if measured.memory is None:
        return None
    full = capacity.bytes_after(layouts, measured.spec.budget.steps)
    filled = capacity.bytes_after(layouts, measured.stepped / measured.trials)
    return measured.memory + int(measured.trials * max(0.0, full - filled))


def _disk(measured: Measured, steps_a_report: float) -> int:
    """Bytes of the run folder at its end."""
    spec = measured.spec
    budget = spec.budget
    trials, steps = budget.most_trials, budget.steps
    if steps == UNTIL_RETURN:
        steps = max(trial.env_steps for trial in measured.known.trials)
    written = max(1, math.ceil(steps / budget.perturb_every))
    newest, best = min(CHECKPOINTS_KEPT, written), int(written > CHECKPOINTS_KEPT)
    replay = 0
    if measured.replay:
        replay = int(capacity.bytes_after(capacity.replay_layouts(spec), steps))
    reports = trials * steps / steps_a_report
    each = newest * (measured.checkpoint + replay) + best * measured.checkpoint
    return int(ONCE + trials * each + reports * measured.report)
