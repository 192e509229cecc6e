"""``rltune export RUN``."""

from __future__ import annotations

import logging
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import Console

from rltune.cli import console
from rltune.cli.extras import need
from rltune.cli.opened import open_run
from rltune.errors import BadInput
from rltune.policies import output_files
from rltune.runs import commands
from rltune.runs.folder import RunFolder

#: In a run folder.
PRESET = "best/preset.toml"


def run(
    *,
    run_path: Path,
    env: str | None,
    preset: Path | None,
    onnx: Path | None,
    optuna: str | None,
    force: bool,
    json: bool,
    trust: bool,
) -> None:
    """Writes what was asked for, all of it checked first."""
    folder = open_run(run_path, trust)
    if preset is None and onnx is None and optuna is None:
        raise BadInput("export what? Name --preset FILE, --onnx FILE, --optuna URL or several.")
    text = "" if preset is None else _best_preset(folder)
    _check(preset, onnx, optuna, force)
    out = console.output(json)
    done: dict[str, Any] = {}
    if preset is not None:
        with output_files.whole(preset) as part:
            part.write_text(text, encoding="utf-8")
        spec, done["preset"] = folder.spec, str(preset)
        command = commands.with_preset(spec, preset, train=folder.job.job != "sweep")
        out.print(f"{preset}: {command}", soft_wrap=True)
    if onnx is not None:
        done["onnx"] = {"path": str(onnx), **_write_policy(folder, env, onnx, out)}
    if optuna is not None:
        done["optuna"] = {"url": optuna, **_write_study(folder, optuna, force, out)}
    if json:
        console.print_json(done)


def _check(preset: Path | None, onnx: Path | None, optuna: str | None, force: bool) -> None:
    """Checks that files can be written, and that what writes them is installed."""
    if preset is not None:
        output_files.check("--preset", preset, (".toml",), force)
    if onnx is not None:
        need("onnx", "onnx", "onnxruntime")
        output_files.check("--onnx", onnx, (".onnx",), force)
    if optuna is not None:
        need("optuna", "optuna", "sqlalchemy")


def _best_preset(folder: RunFolder) -> str:
    if not folder.spec.plays:
        raise BadInput(
            f"{folder.shown} tuned {folder.spec.env_id}, a function without a preset: its settings "
            "are in summary.json, as best.config"
        )
    try:
        return (folder.path / PRESET).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{folder.shown}/{PRESET} cannot be read: {error}. It is written when a sweep ends: "
            f"rltune resume {folder.shown}"
        ) from error


def _write_study(folder: RunFolder, url: str, force: bool, out: Console) -> dict[str, Any]:
    from rltune.reports.optuna_export import to_study  # the extra may not be installed

    study = to_study(folder, url, force=force)
    count = len(study.get_trials(deepcopy=False))
    out.print(
        f"{url}: study {study.study_name} of {count} trials: optuna-dashboard {quote(url)}",
        soft_wrap=True,
    )
    return {"study": study.study_name, "trials": count}


def _write_policy(folder: RunFolder, env: str | None, path: Path, out: Console) -> dict[str, Any]:
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    from rltune.policies.export import to_onnx  # RLlib's networks take seconds to import
    from rltune.policies.several import in_one

    folder = in_one(folder, env)
    agreement = to_onnx(folder, path)
    out.print(
        f"{path}: acts as the policy on {agreement.equal:,} of {agreement.observations:,} "
        f"observations of {folder.spec.env_id}",
        soft_wrap=True,
    )
    return agreement.to_dict()
