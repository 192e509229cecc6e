"""``rltune show ALGO ENV``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from rltune import catalog, certificates
from rltune.cli import console
from rltune.cli.console import setting
from rltune.cli.parse import pairs
from rltune.settings import algorithm
from rltune.spec import Preset


def run(
    *,
    algo: str,
    env: str,
    settings: list[str],
    space: list[str],
    preset: Path | None,
    imports: list[str],
    json: bool,
) -> None:
    """Prints a preset, resolved as a sweep would."""
    algorithm(algo)
    base = catalog.preset(
        algo, catalog.environment(env, imports), None if preset is None else str(preset)
    )
    resolved = catalog.override(
        base,
        pairs("--set", settings, "--set lr=1e-3"),
        pairs("--space", space, "--space 'lr={log=[1e-5,1e-2]}'"),
        {},
    )
    # A certificate is of the preset as it is written.
    standing = certificates.standing(base, preset)
    if json:
        console.print_json(_as_dict(resolved, standing))
    else:
        words = f"{resolved.notes} [dim]({certificates.in_words(standing)})[/dim]\n"
        console.output().print(words.lstrip())
        _print(resolved)


def _as_dict(preset: Preset, standing: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "algo": preset.algo,
        "env": preset.env,
        "notes": preset.notes,
        "certificate": standing,
        "budget": asdict(preset.budget),
        "settings": dict(preset.settings),
        "space": preset.space.to_dict(),
        "constraints": [c.text for c in preset.space.constraints],
        "sources": dict(preset.sources),
    }


def _print(preset: Preset) -> None:
    out = console.output()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("setting", "value", "searched", "from"):
        table.add_column(name, overflow="fold", no_wrap=name in {"searched", "from"})
    docs = algorithm(preset.algo).settings
    for key, value in asdict(preset.budget).items():
        shown = "-" if value is None else setting(value)
        source = preset.sources.get(f"budget.{key}", "").removeprefix(f"presets/{preset.algo}/")
        table.add_row(key, shown, "", source)
    for name in docs:
        parameter = preset.space.get(name)
        searched = "" if parameter is None else f"{parameter.kind} {parameter.domain()}"
        table.add_row(
            name,
            setting(preset.settings[name]),
            searched,
            preset.sources.get(name, "").removeprefix(f"presets/{preset.algo}/"),
            style=None if parameter is None else "bold",
        )
    out.print(table)
    for constraint in preset.space.constraints:
        out.print(f"always: {constraint.text}", style="dim")
