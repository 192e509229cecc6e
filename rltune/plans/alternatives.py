"""Other ways to run a request on this machine, each worth a measurement."""

from __future__ import annotations

import math
from dataclasses import replace

from rltune.catalog.probe import probe_of
from rltune.errors import BadInput
from rltune.processes import machine
from rltune.request import batches, capacity
from rltune.request.cpu_batches import MOST
from rltune.spec import RunSpec


def alternatives(spec: RunSpec) -> dict[tuple[str, str], RunSpec]:
    """Returns requests with the same outcome in kind, by option and value.

    Trials one by one where they would train as batches, and the other way round; all of them on a
    GPU where there is one that nobody asked for. Only what fits is proposed.
    """
    if not spec.plays or spec.environments or spec.resources.address is not None:
        return {}
    asked = spec.resources
    found: dict[tuple[str, str], RunSpec] = {}
    if batches.is_batched(spec):
        found["batch", "off"] = _with(spec, batch="off")
    else:
        seats = min(MOST, math.ceil(spec.budget.trials / capacity.processes_here(spec)))
        if seats > 1:
            found["batch", str(seats)] = _with(spec, batch=str(seats))
    gpus = machine.gpus()
    if gpus is not None and gpus.amount and not asked.gpus_per_trial:
        share = min(1.0, gpus.amount / capacity.slots_here(spec))
        found["gpus_per_trial", f"{share:g}"] = _with(spec, gpus_per_trial=share)
    return {way: other for way, other in found.items() if _fits(other)}


def _with(spec: RunSpec, **changes: object) -> RunSpec:
    return replace(spec, resources=replace(spec.resources, **changes))  # type: ignore[arg-type]


def _fits(spec: RunSpec) -> bool:
    probe = probe_of(spec.env_id, spec.env_options.env_args)
    if batches.is_batched(spec) and batches.problems(spec, probe):
        return False
    try:
        capacity.check_fits_here(spec, probe)
    except BadInput:
        return False
    return True
