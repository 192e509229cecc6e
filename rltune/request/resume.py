"""Whether an unfinished run can continue here and now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltune.catalog.environments import check_there
from rltune.catalog.probe import probe_of
from rltune.engine.codec import divisor
from rltune.errors import BadInput
from rltune.request.resolve import check_simulator
from rltune.request.trust import check_trusted
from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.runs.json_text import dumps, loads
from rltune.spec import RunSpec


def fingerprint(spec: RunSpec) -> dict[str, Any]:
    """What must not change between two parts of a run, flat and as JSON holds it."""
    probe = probe_of(spec.env_id, spec.env_options.env_args)
    seen, _ = probe.spaces(spec.settings)
    found: dict[str, Any] = {
        "algo": spec.algo,
        "env": spec.env_id,
        "env.observation_space": str(probe.observation_space),
        "env.action_space": str(probe.action_space),
        "env.read_as": f"{seen}, divided by {divisor(seen):g}",
        "env.max_episode_steps": probe.max_episode_steps,
        "budget.scheduler": spec.budget.scheduler,
        "constraints": [constraint.text for constraint in spec.space.constraints],
    }
    found |= {f"space.{name}": body for name, body in spec.space.to_dict().items()}
    fixed = {name: value for name, value in spec.settings.items() if name not in spec.space}
    found |= {f"settings.{name}": value for name, value in fixed.items()}
    plain: dict[str, Any] = loads(dumps(found))
    return plain


def check_resumable(folder: RunFolder, force: bool = False) -> None:
    """Raises BadInput for an unfinished run that cannot go on here and now.

    Args:
        force: let a run go on whose space, settings or environment are no longer what they were.
    """
    check_trusted(folder, resumes=True)
    spec = folder.spec
    check_there(spec, folder.shown)
    check_simulator(spec)
    before = (state_file.read(folder.path) or {}).get("fingerprint")
    if before is None or force:
        return
    now = fingerprint(spec)
    before = _as_now(before, now)
    changed = [
        f"{folder.shown}: {name} was {before.get(name)!r} and is {now.get(name)!r} now"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise BadInput([*changed, "put it back, or go on all the same with `force=True`"])


def _as_now(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """A fingerprint with today's keys: an earlier version kept no space but the one that is read,
    and divided all bytes by 255."""
    if "env.read_as" in before:
        return dict(before)
    seen = before["env.observation_space"]
    scale = 255 if seen.endswith("uint8)") else 1
    name = "env.observation_space"
    return {**before, name: now[name], "env.read_as": f"{seen}, divided by {scale}"}
