"""What of a trial fits where, on the machine or the cluster that Ray runs on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import ray

from rltune.errors import BadInput
from rltune.tasks import Task

#: Steps of Ray's amounts in one: what is smaller is nothing to it.
UNIT = 10_000
OPTIONS = {"CPU": "cpus_per_trial", "GPU": "gpus_per_trial", "memory": "memory_per_trial"}

Bundle = Mapping[str, float]


def nodes() -> list[dict[str, float]]:
    """What each machine has, by Ray's name of the resource."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def fit(has: Bundle, needs: Bundle) -> int:
    """Processes that one machine has room for.

    A process that takes a part of a GPU takes it of one: two GPUs hold two processes of 0.6.
    """
    found = []
    for resource, amount in needs.items():
        wanted, there = round(amount * UNIT), round(has.get(resource, 0.0) * UNIT)
        if not wanted:
            continue
        if resource == "GPU" and wanted < UNIT:
            found.append(there // UNIT * (UNIT // wanted))
        else:
            found.append(there // wanted)
    return min(found, default=0)


def processes(task: Task) -> int:
    """Processes of a trial, or of a batch, that the Ray which is running has room for."""
    own, *others = task.bundles(task.spec.resources.cpus_per_trial)
    machines = nodes()
    together = _sum(machines)
    bounds = [sum(fit(each, own) for each in machines)]
    bounds += [
        round(together[resource] * UNIT) // round(amount * UNIT)
        for resource, amount in _sum([own, *others]).items()
        if round(amount * UNIT)
    ]
    return max(1, min(bounds))


def check_fits(task: Task) -> None:
    """Refuses a trial that can never start: Ray would let it wait indefinitely.

    Each of its processes needs one machine that has it all; others may sit elsewhere.
    """
    machines = nodes()
    bundles = task.bundles(task.spec.resources.cpus_per_trial)
    for number, bundle in enumerate(bundles):
        if any(fit(each, bundle) for each in machines):
            continue
        for resource, amount in bundle.items():
            most = max((each.get(resource, 0.0) for each in machines), default=0.0)
            if amount > most:
                what = (
                    f"{OPTIONS[resource]} "
                    if number == 0 and resource in OPTIONS
                    else "a process of a trial takes "
                )
                raise BadInput(
                    f"{what}{shown(resource, amount)}: no machine here has more than "
                    f"{shown(resource, most)}, so no trial could ever start. Ask for fewer."
                )
        wanted = " and ".join(shown(*need) for need in bundle.items())
        raise BadInput(
            f"a trial takes {wanted}: no machine here has all of it, so no trial could ever start. "
            "Ask for fewer."
        )
    together = _sum(machines)
    for resource, amount in _sum(bundles).items():
        if amount > together[resource]:
            raise BadInput(
                f"a trial with its environment runners and learners takes {shown(resource, amount)}"
                f": there are {shown(resource, together[resource])} here, so no trial could ever "
                "start. Ask for fewer."
            )


def cpus_of_a_process(task: Task) -> float:
    """CPUs that Ray sets aside for a trial's own process.

    On one machine ``concurrent`` is kept by asking for a larger share each, so that no more of them
    fit. Elsewhere :class:`rltune.sweeps.ray_adapter.controller.Controller` alone keeps it: no
    machine may have so many.
    """
    asked = task.spec.resources
    machines = nodes()
    if not asked.concurrent or len(machines) > 1:
        return asked.cpus_per_trial
    others = task.cpus - asked.cpus_per_trial
    return max(asked.cpus_per_trial, _sum(machines)["CPU"] / asked.concurrent - others)


def shown(resource: str, amount: float) -> str:
    """An amount of a resource as a person reads it."""
    return (
        f"{amount / 2**30:.1f} GiB of memory" if resource == "memory" else f"{amount:g} {resource}"
    )


def _sum(bundles: Iterable[Bundle]) -> dict[str, float]:
    """What all have together; 0 of anything else."""
    found: dict[str, float] = defaultdict(float)
    for bundle in bundles:
        for resource, amount in bundle.items():
            found[resource] += amount
    return found
