"""In how many processes the copies of a trial are stepped."""

from __future__ import annotations

from dataclasses import replace

from rltune import envs
from rltune.catalog.probe import Stepping, stepping_of
from rltune.errors import BadInput, keyword
from rltune.request import batches
from rltune.request.env_copies import ENVS, RUNNERS
from rltune.spec import RunSpec, largest

#: Seconds that a step of all copies takes longer for each process that it is passed to and from
#: (measured on two cores, beside other work).
PASSING = 100e-6


def in_processes(spec: RunSpec) -> RunSpec:
    """A request that says in how many processes the copies of a trial are stepped, and why.

    Where that is left open, it is one for each CPU of a trial if a step of all copies then takes
    less time, as measured on this machine.

    Raises:
        BadInput: several processes are asked for, and something is in the way.
    """
    asked = spec.env_options.env_processes
    copies = largest(ENVS, spec.settings, spec.space)
    count = asked or min(int(spec.resources.cpus_per_trial), copies)
    if count < 2:
        return _with(spec, 1, _why_one(spec, copies))
    problem = _problem(spec, copies, count)
    stepping = None
    if problem is None:
        args = spec.env_options.env_args
        stepping = stepping_of(spec.env_id, args, copies, spec.settings)
        if stepping.at_once:
            problem = f"gymnasium steps all {copies} copies of {spec.env} at once, in one process"
    if problem and asked:
        raise BadInput(f"env_processes {asked}: {problem}")
    if problem or stepping is None:
        return _with(spec, 1, problem or "")
    if asked or _gains(stepping, copies, count):
        return _with(spec, count, _in_words(spec, copies, count, stepping))
    return _with(
        spec,
        1,
        f"{copies} copies one after the other in one process: a step of one takes "
        f"{_time(stepping.seconds)}, passing it between {count} processes costs more",
    )


def in_processes_again(spec: RunSpec) -> RunSpec:
    """Decides again, for other CPUs of a trial."""
    left_open = replace(spec.env_options, env_processes=None)
    return in_processes(replace(spec, env_options=left_open))


def _with(spec: RunSpec, count: int, told: str) -> RunSpec:
    options = replace(spec.env_options, env_processes=count)
    return replace(spec, env_options=options, stepping=told)


def _why_one(spec: RunSpec, copies: int) -> str:
    if copies == 1 and spec.resources.cpus_per_trial >= 2:
        return f"a single copy, in one process: {ENVS} is 1"
    asked = spec.env_options.env_processes == 1 and copies > 1
    return "one process, as asked for" if asked else ""


def _problem(spec: RunSpec, copies: int, count: int) -> str | None:
    """Why copies cannot be stepped in several processes; None where they can."""
    if batches.is_batched(spec):
        return "a batch of trials steps its environments in one process"
    if largest(RUNNERS, spec.settings, spec.space):
        return f"each of the {RUNNERS} steps its copies in a process of its own"
    if spec.env_options.simulator != "gymnasium":
        return f"{spec.env_options.simulator} steps all copies at once, in one process"
    if not envs.POSSIBLE:
        return "copies are stepped in one process: others can be forked on Linux alone"
    if count > copies:
        return f"a trial has {copies} copies: {keyword(settings={ENVS: count})}, or fewer processes"
    return None


def _gains(stepping: Stepping, copies: int, count: int) -> bool:
    """Whether the largest share of the copies and passing them takes less than all copies."""
    spared = copies - -(-copies // count)
    return spared * stepping.seconds > count * PASSING


def _in_words(spec: RunSpec, copies: int, count: int, stepping: Stepping) -> str:
    up_to = "up to " if ENVS in spec.space else ""
    each = f"{up_to}{copies} copies in {count} processes"
    return f"{each}; a step of one takes {_time(stepping.seconds)}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"
