"""``rltune show ALGO ENV``."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from rltune import catalog
from rltune.catalog.algorithms import algorithm
from rltune.catalog.probe import probe_of
from rltune.cli import console
from rltune.cli.parse import values
from rltune.cli.spelling import spelling
from rltune.envs import EnvInfo
from rltune.errors import BadInput
from rltune.options import OPTIONS
from rltune.policies import certificates
from rltune.reports.numbers import setting
from rltune.spec import Preset


def run(*, algo: str, env: str, json: bool, **options: Any) -> None:
    """Prints a preset, resolved as a sweep would."""
    algorithm(algo)
    asked = values(options)
    found = catalog.environment(env, asked["imports"])
    args, path = asked["env_args"], asked["preset"]
    base = catalog.preset(algo, found, path, args)
    resolved = catalog.override(base, asked["settings"], asked["space"], {})
    sources = {key: spelling(s) if s in OPTIONS else s for key, s in resolved.sources.items()}
    resolved = replace(resolved, sources=sources)
    # A certificate is of the preset as it is written.
    standing = certificates.standing(base, None if path is None else Path(path))
    if json:
        console.print_json(
            _as_dict(resolved, standing) | {"reading": _reading(found, args, resolved)}
        )
    else:
        notes = f"{resolved.notes} ".lstrip()
        standing_in_words = (f"({certificates.in_words(standing)})\n", "dim")
        console.output().print(Text.assemble(notes, standing_in_words))
        _print(resolved)
        console.output().print(_reading(found, args, resolved), style="dim", soft_wrap=True)


def _reading(env: EnvInfo, env_args: dict[str, Any], preset: Preset) -> str:
    """How the policy reads observations and acts, and what it takes to see that."""
    try:
        probe = probe_of(env.id, env_args)
        codec = probe.reading(preset.settings["observation_form"])
    except BadInput as error:
        return str(error)
    return f"observations {codec.why}; actions are {probe.action_space}"


def _as_dict(preset: Preset, standing: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "algo": preset.algo,
        "env": preset.env,
        "notes": preset.notes,
        "certificate": standing,
        "budget": asdict(preset.budget),
        "evaluation": asdict(preset.evaluation),
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
    budgets = {"budget": asdict(preset.budget), "evaluation": asdict(preset.evaluation)}
    for group, budget in budgets.items():
        for key, value in budget.items():
            shown = "-" if value is None else setting(value)
            source = preset.sources.get(f"{group}.{key}", "")
            table.add_row(key, shown, "", source.removeprefix(f"presets/{preset.algo}/"))
    for name in docs:
        parameter = preset.space.get(name)
        searched = "" if parameter is None else str(parameter)
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
