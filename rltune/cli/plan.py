"""``rltune plan ALGO ENV``: what a sweep would take, measured on its first seconds."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.filesize import decimal
from rich.table import Table

from rltune.cli import console, request_view
from rltune.cli.parse import values
from rltune.cli.spelling import spelling
from rltune.errors import BadInput
from rltune.processes import machine
from rltune.reports.numbers import clock, number
from rltune.request import capacity
from rltune.request.resolve import make_request
from rltune.runs.remote.location import local
from rltune.spec import JobSpec, RunSpec

#: Share of the time that another way may take, at most, to be proposed.
WORTH = 0.9
AS_ASKED = "as asked"


def run(
    *,
    algo: str,
    env: str,
    save_buffer: bool | None,
    json: bool,
    quiet: bool,
    dry_run: bool,
    seconds: float,
    price: float | None,
    **options: Any,
) -> None:
    """Checks the request, measures it and other ways to run it, and prints what they would take."""
    if save_buffer is not None:
        options["settings"] = [*options["settings"], f"save_buffer={str(save_buffer).lower()}"]
    spec, job = make_request(algo, env, command=["rltune", *sys.argv[1:]], **values(options))
    disk = _free_disk(spec)
    _check_disk(disk, capacity.replay_on_disk(spec), "replay buffers in checkpoints alone")
    if not json:
        request_view.show(spec, job, request_view.start_rows(spec, job))
    if dry_run:
        return
    found = _measured(spec, job, seconds, told=not quiet and not json)
    rows = {way: _row(forecast, price) for way, forecast in found.items()}
    if json:
        ways = {way: asdict(forecast) | _cost(forecast, price) for way, forecast in found.items()}
        console.print_json({"free_disk": disk, "ways": ways})
    else:
        _show(rows)
    _check_disk(disk, found[AS_ASKED].disk, "the run folder")
    if not json:
        _advise(spec, found, seconds)


def _measured(spec: RunSpec, job: JobSpec, seconds: float, told: bool) -> dict[str, Any]:
    """A forecast of each way to run the request."""
    console.messages.print("loading Ray and RLlib ...") if told else None
    from rltune.plans.alternatives import alternatives
    from rltune.plans.forecast import forecast
    from rltune.plans.measuring import measure

    found = {}
    others = {f"{spelling(name)} {value}": way for (name, value), way in alternatives(spec).items()}
    for way, asked in {AS_ASKED: spec, **others}.items():
        console.messages.print(f"measuring {way} ...") if told else None
        free = machine.free_memory().amount
        found[way] = forecast(measure(asked, job, seconds), free)
    return found


def _row(forecast: Any, price: float | None) -> dict[str, str]:
    """A forecast as a person reads it."""
    likely, most = forecast.seconds, forecast.at_most
    row = {
        "time": "-" if likely is None else clock(likely),
        "at most": "-" if most is None else clock(most),
        "steps a second": number(round(forecast.speed)),
        "trials at a time": str(forecast.trials),
        "memory": "-" if forecast.memory is None else decimal(forecast.memory),
        "memory has room for": "-" if forecast.fit is None else f"{number(forecast.fit)} trials",
        "disk": decimal(forecast.disk),
    }
    if forecast.gpu_memory is not None:
        row["GPU memory"] = decimal(forecast.gpu_memory)
    if price is not None:
        row["cost"] = "-" if likely is None else f"{_cost(forecast, price)['cost']:.2f}"
    return row


def _cost(forecast: Any, price: float | None) -> dict[str, float]:
    if price is None or forecast.seconds is None:
        return {}
    return {"cost": price * forecast.seconds / 3600}


def _show(rows: dict[str, dict[str, str]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for column in next(iter(rows.values())):
        table.add_column(column, justify="right")
    for way, row in rows.items():
        table.add_row(way, *row.values())
    console.output().print()
    console.output().print(table)
    console.output().print(
        "\ntime: from the command to its end, if no target ends it sooner; steps a second: of all "
        "trials together; memory: of the processes that train, with full replay buffers"
    )


def _advise(spec: RunSpec, found: dict[str, Any], seconds: float) -> None:
    """Prints the command to type next, with the options that are worth it."""
    asked = found[AS_ASKED]
    words = _without(spec.command[2:], "--seconds", "--price")
    best = min(
        (way for way in found if found[way].seconds is not None),
        key=lambda way: found[way].seconds * (1 if way == AS_ASKED else 1 / WORTH),
        default=AS_ASKED,
    )
    more = "" if best == AS_ASKED else f" {best}"
    chosen = found[best]
    if chosen.fit is not None and chosen.fit < chosen.trials:
        more += f" --concurrent {max(1, chosen.fit)}"
        console.output().print(
            f"\nmemory: {chosen.trials} trials at a time take more than is free, "
            f"{max(1, chosen.fit)} fit"
        )
    if asked.seconds is None:
        from rltune.plans.measuring import patience

        console.output().print(
            "\ntime: the trials reported too seldom to tell; "
            f"--seconds {patience(seconds):g} measures longer"
        )
    limit = spec.budget.time_budget
    if limit is not None and asked.seconds is not None and asked.seconds > limit:
        console.output().print(
            f"\n--time-budget {clock(limit)} ends it after {limit / asked.seconds:.0%} of the steps"
        )
    console.output().print(f"\nNext\n  rltune {shlex.join(words)}{more}")


def _without(words: Sequence[str], *options: str) -> list[str]:
    """The words of a command line without some options and their values."""
    left: list[str] = []
    dropped = False
    for word in words:
        if not dropped and word.partition("=")[0] not in (*options, "--quiet", "--dry-run"):
            left.append(word)
        dropped = not dropped and word in options
    return left


def _free_disk(spec: RunSpec) -> int:
    """Bytes that are free where the run would be stored."""
    place = local(spec.storage).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _check_disk(free: int, wanted: int, what: str) -> None:
    if wanted > free:
        raise BadInput(
            f"disk: {what} would take {decimal(wanted)}, {decimal(free)} are free: choose another "
            "--storage, fewer --trials or, with a replay buffer, --no-save-buffer"
        )
