"""How a run was made: command, versions, seeds, hashes of its files."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

from rltune.reports.run_view import RunView
from rltune.runs.checkpoints import MANIFEST
from rltune.runs.folder import BEST

#: Files whose hashes a report holds, where they are there.
HASHED = ("run.json", "decisions.jsonl", "summary.json", "best/preset.toml", f"{BEST}/{MANIFEST}")


def provenance(run: RunView) -> dict[str, str]:
    """Facts by name, for someone who wants to do the same again."""
    spec = run.spec
    found = {
        "command": shlex.join(spec.command) if spec.command else "from Python",
        "seed": str(spec.seed),
        "trials at a time": str(spec.resources.concurrent or "as many as fit"),
        "cores a trial": f"{spec.cpus_of_a_trial:g}",
        "GPUs a trial": f"{spec.resources.gpus_per_trial:g}",
        "versions": ", ".join(f"{name} {one}" for name, one in spec.versions.items()) or "-",
    }
    if spec.plays:
        found["environment"] = f"{spec.env_id}, trained in {spec.env_options.simulator}"
    if spec.reading:
        found["observations"] = spec.reading
    for name in HASHED:
        path = run.folder.path / name
        if path.is_file():
            found[f"SHA-256 of {name}"] = sha256(path)
    return found


def sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
