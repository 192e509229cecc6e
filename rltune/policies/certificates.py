"""Certificates: the evidence for a preset, written beside it by ``rltune certify``.

A certificate is a JSON file, ``presets/<algo>/<env>.certificate.json``. It contains the values of
the certified preset, so that a later change of the preset is detected.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rltune import catalog
from rltune.errors import BadInput, MachineError
from rltune.runs.json_text import dumps, loads
from rltune.spec import Preset

#: Share of the seeds whose score must be over the threshold.
REQUIRED_SHARE = 0.9


@dataclass(frozen=True)
class Certificate:
    """Results of a preset over several training seeds, each policy scored on separate seeds.

    Attributes:
        scores: mean return of each seed's policy over ``episodes`` evaluation episodes.
        iqm: interquartile mean of the scores.
        ci95: 95 % bootstrap interval of the IQM; None for both ends of few seeds, see
            :data:`rltune.statistics.FEWEST_VALUES`.
        share_over_threshold: share of the scores over it; None if there is no threshold.
        env_steps_to_threshold: median over the seeds of the environment steps to the first
            checkpoint whose greedy policy is over the threshold on selection seeds; None if half
            of the seeds never were. Seeds that never reach the threshold count as infinite.
        seconds_to_threshold: the same in seconds of training.
        env_steps: median of the environment steps per seed.
        train_seconds: the same in seconds.
        failure_rate, failure_rate_ci95, worst_tenth, worst_tenth_ci95: see
            :class:`rltune.runs.summary_record.SeedStatistics`; earlier certificates lack them.
        batch: seeds that trained as one batch, whose seconds are the batch's; "off" for none,
            "auto" for all of them.
        optimism_gap: mean selection score minus mean score: the bias of a choice by few episodes.
        versions: versions of rltune and its dependencies.
        preset_hash: hash of ``preset``.
        preset: the certified settings, space and budget.
        seed: seed of the run; the same seed gives the same training and evaluation seeds. The first
            certificates lack it and have seed 0.
    """

    algo: str
    env: str
    seeds: int
    episodes: int
    scores: list[float]
    mean: float
    iqm: float
    ci95: Sequence[float | None]
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
    failure_rate: float | None = None
    failure_rate_ci95: Sequence[float] | None = None
    worst_tenth: float | None = None
    worst_tenth_ci95: Sequence[float] | None = None
    batch: str = "off"

    def stale(self, preset: Preset) -> bool:
        """Whether the preset has changed since.

        A setting that did not exist then counts as unchanged: its default keeps the old behaviour.
        """
        now = contents(preset)
        for table in ("settings", "budget"):
            now[table] = {name: now[table].get(name) for name in self.preset[table]}
        return preset_hash(now) != self.preset_hash

    def write(self, path: Path) -> None:
        """Writes the certificate, completely or not at all.

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
    """Returns a preset's certificate as a dict with ``stale``; None if there is none.

    Args:
        path: preset file of the user; None for the shipped preset.
    """
    if path is None and (preset.algo, preset.env) not in catalog.preset_names():
        return None
    certificate = read(place(preset.algo, preset.env, path))
    if certificate is None:
        return None
    return asdict(certificate) | {"stale": certificate.stale(preset)}


def together(standing: Mapping[str, Any]) -> int:
    """How many seeds of a certificate shared the seconds of a batch; 1 where each had its own."""
    batch, seeds = standing["batch"], standing["seeds"]
    if batch == "off":
        return 1
    return int(seeds) if batch == "auto" else min(int(batch), int(seeds))


def share_of(seconds: float | None, standing: Mapping[str, Any]) -> tuple[float | None, str]:
    """Seconds of a certificate for one seed: its share of a batch's, then marked with "+"."""
    seeds = together(standing)
    return (None if seconds is None else seconds / seeds), "+" * (seeds > 1)


def in_words(standing: Mapping[str, Any] | None) -> str:
    """Words how many seeds of a certificate are over the threshold."""
    if standing is None:
        return "not certified here"
    seeds, share = standing["seeds"], standing["share_over_threshold"]
    over = f"{seeds} seeds" if share is None else f"{round(share * seeds)} of {seeds} seeds"
    return over + (", stale: the preset has changed" if standing["stale"] else "")


def passed(share: float | None) -> bool:
    """Whether enough seeds are over the threshold, or there is no threshold."""
    return share is None or share >= REQUIRED_SHARE


def contents(preset: Preset) -> dict[str, dict[str, Any]]:
    """Returns a preset's settings, space and budget as tables for JSON."""
    tables = {
        "settings": dict(preset.settings),
        "space": preset.space.to_dict(),
        "budget": asdict(preset.budget),
    }
    plain: dict[str, dict[str, Any]] = loads(dumps(tables))
    return plain


def preset_hash(tables: Mapping[str, Any]) -> str:
    """Computes the SHA-256 of a preset's contents."""
    text = json.dumps(json.loads(dumps(tables)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def place(algo: str, env: str, path: Path | None = None) -> Path:
    """Returns the path of a preset's certificate.

    Args:
        path: preset file of the user; None for the shipped preset.

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
    """Returns a path unchanged if its folder can be written to.

    Raises:
        BadInput: the folder cannot be written to.
    """
    if not os.access(path.parent, os.W_OK):
        raise BadInput(
            f"{path.parent} cannot be written to: certify a copy of the preset with `preset=FILE`"
        )
    return path


def read(path: Path) -> Certificate | None:
    """Reads the certificate of a file; None if the file does not exist.

    Raises:
        BadInput: the file is not a certificate.
    """
    if not path.exists():
        return None
    try:
        return Certificate(**loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{path} is no certificate: {error}") from error


def today() -> str:
    """Returns the current date for a certificate."""
    return f"{datetime.now(UTC):%Y-%m-%d}"
