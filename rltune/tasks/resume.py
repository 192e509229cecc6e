"""Whether an unfinished run can continue here and now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltune.errors import BadInput
from rltune.request.trust import check_trusted
from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.tasks import task_of


def check_resumable(folder: RunFolder, force: bool = False) -> None:
    """Raises BadInput for an unfinished run that cannot continue here and now.

    Args:
        force: let a run continue whose space, settings or environment are no longer what they were.
    """
    check_trusted(folder, resumes=True)
    task = task_of(folder.spec)
    task.check_here(folder.shown)
    before = (state_file.read(folder.path) or {}).get("fingerprint")
    if before is None or force:
        return
    now = task.fingerprint()
    before = _as_now(before, now)
    changed = [
        f"{folder.shown}: {name} was {before.get(name)!r} and is {now.get(name)!r} now"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise BadInput([*changed, "put it back, or continue all the same with `force=True`"])


def _as_now(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """A fingerprint with today's keys: an earlier version kept no space but the one that is read,
    and divided all bytes by 255."""
    name = "env.observation_space"
    if "env.read_as" in before or name not in before:
        return dict(before)
    seen = before[name]
    scale = 255 if seen.endswith("uint8)") else 1
    return {**before, name: now[name], "env.read_as": f"{seen}, divided by {scale}"}
