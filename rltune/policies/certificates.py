"""The evidence that stands behind a preset: written beside it by ``rltune certify``, read by lists.

A certificate is a JSON file, ``presets/<algo>/<env>.certificate.json``. It holds the preset that
was run, value by value, so that one that has changed since is told from it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rltune import catalog
from rltune.errors import BadInput, MachineError
from rltune.runs.json_text import dumps, loads
from rltune.spec import Preset

#: Share of the seeds that must be over the threshold.
REQUIRED_SHARE = 0.9


@dataclass(frozen=True)
class Certificate:
    """What a preset reached over several training seeds, each policy scored on seeds of its own.

    Attributes:
        scores: mean return of each seed's policy over ``episodes`` evaluation episodes.
        iqm: interquartile mean of the scores; ci95: its 95 % bootstrap interval.
        share_over_threshold: of the scores; None where the environment has no threshold.
        env_steps_to_threshold: median over the seeds, counted to the first checkpoint whose
            greedy policy is over the threshold on selection seeds; None where half never were.
        seconds_to_threshold: the same in seconds of training.
        env_steps: median that a seed was trained for; train_seconds: the same in seconds.
        optimism_gap: mean of selection score minus score: what a choice by few episodes promises
            too much.
        preset_hash: of ``preset``, the settings, space and budget that were run.
        versions: of rltune and what it stands on.
        seed: of the run: who asks for the same one trains and scores on the same seeds. The first
            certificates do not hold it, and are of seed 0.
    """

    algo: str
    env: str
    seeds: int
    episodes: int
    scores: list[float]
    mean: float
    iqm: float
    ci95: list[float]
    threshold: float | None
    share_over_threshold: float | None
    env_steps_to_threshold: int | None
    seconds_to_threshold: float | None
    env_steps: int
    train_seconds: float
    optimism_gap: float
    date: str
    versions: Mapping[str, str]
    preset_hash: str
    preset: Mapping[str, Any]
    seed: int = 0

    def stale(self, preset: Preset) -> bool:
        """Whether the preset has changed since.

        A setting that did not exist then counts as unchanged: its default is what was done before.
        """
        now = contents(preset)
        for table in ("settings", "budget"):
            now[table] = {name: now[table].get(name) for name in self.preset[table]}
        return preset_hash(now) != self.preset_hash

    def write(self, path: Path) -> None:
        """Writes it, whole or not at all.

        Raises:
            MachineError: it cannot be written.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_text(dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise MachineError(f"certificate {path}: {error.strerror or error}") from error


def standing(preset: Preset, path: Path | None = None) -> dict[str, Any] | None:
    """A preset's certificate as JSON has it, with whether it is ``stale``; None where none is.

    Args:
        path: of a preset file of the user's; None for the shipped preset.
    """
    if path is None and (preset.algo, preset.env) not in catalog.preset_names():
        return None
    certificate = read(place(preset.algo, preset.env, path))
    if certificate is None:
        return None
    return asdict(certificate) | {"stale": certificate.stale(preset)}


def in_words(standing: Mapping[str, Any] | None) -> str:
    """How many seeds a certificate has over the threshold."""
    if standing is None:
        return "not certified here"
    seeds, share = standing["seeds"], standing["share_over_threshold"]
    over = f"{seeds} seeds" if share is None else f"{round(share * seeds)} of {seeds} seeds"
    return over + (", stale: the preset has changed" if standing["stale"] else "")


def passed(share: float | None) -> bool:
    """Whether enough seeds are over the threshold, or there is none."""
    return share is None or share >= REQUIRED_SHARE


def contents(preset: Preset) -> dict[str, dict[str, Any]]:
    """What a preset holds, as JSON has it: tables of settings, space and budget."""
    tables = {
        "settings": dict(preset.settings),
        "space": preset.space.to_dict(),
        "budget": asdict(preset.budget),
    }
    plain: dict[str, dict[str, Any]] = loads(dumps(tables))
    return plain


def preset_hash(tables: Mapping[str, Any]) -> str:
    """SHA-256 of a preset's contents."""
    text = json.dumps(json.loads(dumps(tables)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def place(algo: str, env: str, path: Path | None = None) -> Path:
    """The file of a preset's certificate.

    Args:
        path: of a preset file of the user's; None for the shipped preset.

    Raises:
        BadInput: there is no such preset.
    """
    if path is None and (algo, env) not in catalog.preset_names():
        raise BadInput(
            f"{algo} has no preset of its own for {env} that a certificate could stand beside: "
            "write one and name it with `preset=FILE`"
        )
    preset = path or catalog.shipped_path(algo, env)
    return preset.with_name(preset.name.removesuffix(".toml") + ".certificate.json")


def writable(path: Path) -> Path:
    """The same file, in a folder that can be written to.

    Raises:
        BadInput: it cannot.
    """
    if not os.access(path.parent, os.W_OK):
        raise BadInput(
            f"{path.parent} cannot be written to: certify a copy of the preset with `preset=FILE`"
        )
    return path


def read(path: Path) -> Certificate | None:
    """The certificate of a file; None where there is none.

    Raises:
        BadInput: it is none.
    """
    if not path.exists():
        return None
    try:
        return Certificate(**loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{path} is no certificate: {error}") from error


def today() -> str:
    """The date, as a certificate has it."""
    return f"{datetime.now(UTC):%Y-%m-%d}"
