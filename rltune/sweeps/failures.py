"""What is kept of a trial's failure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rltune.processes.tracebacks import NOTE, headline_of, plain
from rltune.processes.watchdog import collect
from rltune.runs.folder import RunFolder
from rltune.runs.records import Failure
from rltune.runs.storage_faults import failed, fault_in
from rltune.spec import RunSpec

#: Tune's heading of a failure.
OF_TUNE = re.compile(r"^Failure # \d+ \(occurred at .+\)\n", re.MULTILINE)
STEP = re.compile(r"env step (\d+)")
#: Begins what Ray says of a process that ended without an exception.
DIED = ("The actor died unexpectedly", "The actor is dead because", "The worker died", "Task was")
#: What is said of a process that stood still, see :class:`rltune.sweeps.watch.ProcessWatch`.
STALLED = "the trial's process did not answer for {:.0f} s, and was ended: stopped, or hung"
LOST = "the machine of the trial's process was lost: it died, or was cut off"
#: What Ray says of a process that ended without an exception, by how it ended.
UNAVAILABLE = re.compile(r"The actor \w+ is unavailable")
ENDED = {
    r"its node has died": LOST,
    r"exit code (-?\d+)": "the trial's process ended with exit code {}",
    r"(?:running low on|ran out of|OOM_KILL|OutOfMemory)": (
        "the trial's process was ended: the machine ran out of memory. Let fewer trials run at a "
        "time, or make their batches and buffers smaller"
    ),
}


def read_failure(
    spec: RunSpec, folder: RunFolder, trial: Any, ended: Mapping[str, float], again: bool
) -> Failure:
    """The failure of a Tune trial that has just failed.

    Args:
        ended: seconds of silence of processes that were ended for it, by Ray's id of them.
        again: whether it is tried again.

    Raises:
        MachineError: the storage could not take its checkpoint, which is no fault of the trial's.
    """
    path = trial.error_file
    raw = Path(path).read_text(encoding="utf-8") if path else ""
    raw = OF_TUNE.split(raw)[-1]  # Tune adds each failure to one file: the last one is this
    report = collect(folder.path / "trials" / str(trial))
    # Of a process that crashed Ray knows no more than that.
    parts = [report] if report and raw.startswith(DIED) else [report, plain(raw)]
    text = "\n\n".join(filter(None, parts)) or "no traceback"
    silent = next((seconds for actor, seconds in ended.items() if actor in raw), None)
    stalled = "" if silent is None else STALLED.format(silent)
    fault = fault_in(raw)
    if fault or not folder.has("run.json"):
        raise failed(folder.path, fault or "", f"continue with: rltune resume {folder.shown}")
    if path:  # Tune copies its own over the folder's in the end
        Path(path).write_text(text + "\n", encoding="utf-8")
    reports = folder.reports(str(trial))
    steps = [int(number) for number in STEP.findall(text)]
    return Failure(
        env_id=spec.env_id,
        env_steps=max([*steps, reports[-1].env_steps if reports else 0]),
        error=stalled or headline(raw, report),
        traceback=text,
        tried_again=again,
    )


def headline(text: str, report: str = "") -> str:
    """What a person reads first of a failure.

    Args:
        text: as Ray has it.
        report: what the watchdog of the process left, see
            :func:`rltune.processes.watchdog.collect`.
    """
    if report:
        return report.splitlines()[0]
    if UNAVAILABLE.match(text):
        return LOST
    if not text.startswith(DIED) or NOTE in text:
        return headline_of(text)
    for pattern, told in ENDED.items():
        if found := re.search(pattern, text):
            return told.format(*found.groups())
    return "the trial's process died: killed, out of memory, or crashed"
