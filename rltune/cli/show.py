"""``rltune show ALGO ENV`` and ``rltune show RUN``."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from rltune import catalog
from rltune.catalog.algorithms import ALGORITHMS, algorithm
from rltune.catalog.probe import Probe
from rltune.cli import console, request_view
from rltune.cli.listed_runs import standing, started
from rltune.cli.parse import values
from rltune.cli.spelling import spelling
from rltune.errors import BadInput, did_you_mean
from rltune.options import OPTIONS
from rltune.policies import certificates
from rltune.reports.numbers import number, setting
from rltune.request import preflight, secrets
from rltune.runs.folder import RunFolder
from rltune.runs.remote.copy import file_here
from rltune.runs.summary_record import Summary
from rltune.spec import Preset


def run(*, algo: str, env: str | None, json: bool, **options: Any) -> None:
    """Prints a preset, resolved as a sweep would, or a run.

    Raises:
        BadInput: there is no such preset or run, or the algorithm cannot act in the environment.
    """
    if env is None:
        _show_run(_run_of(algo), json)
        return
    if len(every := env.split(",")) > 1 and "/" not in env:
        raise BadInput(f"show one preset at a time: rltune show {algo} {every[0]}")
    asked = values(options)
    found = catalog.environment(env, asked["imports"])
    args, path = secrets.hide(asked["env_args"]), asked["preset"]
    path = None if path is None else str(file_here(path))
    probe = preflight.check_environment(found, algorithm(algo), args)
    base = catalog.preset(algo, found, path, args)
    resolved = catalog.override(base, asked["settings"], asked["space"], {})
    sources = {key: spelling(s) if s in OPTIONS else s for key, s in resolved.sources.items()}
    resolved = replace(resolved, sources=sources)
    # A certificate is of the preset as it is written.
    standing = certificates.standing(base, None if path is None else Path(path))
    reading = _reading(probe, resolved)
    if json:
        console.print_json(_as_dict(resolved, standing) | {"reading": reading})
        return
    notes = f"{resolved.notes} ".lstrip()
    out = console.output()
    out.print(Text.assemble(notes, (f"({certificates.in_words(standing)})", "dim")))
    _print(resolved)
    out.print(reading, style="dim", soft_wrap=True)


def _run_of(word: str) -> RunFolder:
    """The run of a path. Raises BadInput for what is no run, and says what was meant."""
    if word in ALGORITHMS:
        raise BadInput(f"{word} on what? rltune show {word} cartpole, or rltune show RUN")
    folder = RunFolder(word)
    folder.fetch()
    if folder.has("run.json"):
        return folder
    hint = did_you_mean(word, ALGORITHMS)
    raise BadInput(
        f"{word} is neither an algorithm with an environment, as in rltune show dqn cartpole, nor "
        f"a run folder.{hint} Runs: `rltune list runs`"
    )


def _show_run(folder: RunFolder, json: bool) -> None:
    """Prints what a run was asked for, how it stands and what came out."""
    spec, job, summary = folder.spec, folder.job, folder.summary
    state, following = standing(folder)
    if json:
        request = {**spec.to_dict(), **job.to_dict()}
        console.print_json({"state": state, "request": request, "summary": folder.summary_contents})
        return
    rows = [("stored in", folder.place), ("started (UTC)", started(folder))]
    rows += [("command", " ".join(spec.command))] if spec.command else []
    rows.append(("state", state))
    if summary is not None and summary.best is not None:
        score = summary.evaluation.mean if summary.evaluation else summary.best.score
        rows.append(("best", f"trial {summary.best.trial}, score {number(score)}"))
        best = {name: v for name, v in summary.best.config.items() if name in spec.space}
        config = ", ".join(f"{name} = {setting(value)}" for name, value in best.items())
        rows += [("its settings", config)] if config else []
    rows += [("front", _on_front(summary))] if summary is not None and summary.front else []
    following = "evaluate" if following == "show" and summary and summary.evaluation else following
    rows += [("next", f"rltune {following} {folder.shown}")] if following != "show" else []
    request_view.show(spec, job, rows)


def _on_front(summary: Summary) -> str:
    """The trials on the front and their objectives."""
    points = summary.front or []
    return "; ".join(
        f"{point.trial}: {', '.join(f'{n} {number(v)}' for n, v in point.values.items())}"
        for point in points
    )


def _reading(probe: Probe, preset: Preset) -> str:
    """How the policy reads observations and acts."""
    codec = probe.reading(preset.settings["observation_form"])
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
    """Prints what is searched, then the budget, then the settings that are fixed."""
    searched = [
        (name, setting(preset.settings[name]), str(parameter), _source(preset, name))
        for name, parameter in preset.space.items()
    ]
    fixed = [
        (name, setting(preset.settings[name]), _source(preset, name))
        for name in algorithm(preset.algo).settings
        if name not in preset.space
    ]
    budgets = {"budget": asdict(preset.budget), "evaluation": asdict(preset.evaluation)}
    budget = [
        (key, _amount(value), _source(preset, f"{group}.{key}"))
        for group, entries in budgets.items()
        for key, value in entries.items()
    ]
    for heading, header, rows in (
        ("searched", ("", "starts at", "range", "from"), searched),
        ("budget", ("", "value", "from"), budget),
        ("fixed", ("", "value", "from"), fixed),
    ):
        table = Table(box=None, pad_edge=False, header_style="dim")
        for place, name in enumerate((heading, *header[1:])):
            style = "bold" if place == 0 else "dim"
            table.add_column(name, overflow="fold", no_wrap=place == 0, header_style=style)
        for row in rows:
            table.add_row(*row)
        if rows:
            console.output().print()
            console.output().print(table)
    console.output().print()
    for constraint in preset.space.constraints:
        console.output().print(f"always: {constraint.text}", style="dim")


def _amount(value: Any) -> str:
    plain = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    return number(value) if plain else str(value)


def _source(preset: Preset, name: str) -> str:
    return preset.sources.get(name, "").removeprefix(f"presets/{preset.algo}/")
