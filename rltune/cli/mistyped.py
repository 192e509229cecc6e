"""Command lines that are not as a command is written: what was meant, in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperOption

from rltune import catalog, envs
from rltune.catalog import aliases
from rltune.catalog.algorithms import ALGORITHMS
from rltune.cli import console
from rltune.cli.app import COMMANDS
from rltune.cli.spelling import spelling
from rltune.errors import BadInput, RltuneError, did_you_mean
from rltune.reports.numbers import number

#: What other programs call an option, and ours in the order in which they are looked for.
_OPTIONS = {
    "--timesteps": ("--steps",),
    "--total-timesteps": ("--steps",),
    "--num-timesteps": ("--steps",),
    "--iterations": ("--steps",),
    "--num-samples": ("--trials",),
    "--samples": ("--trials",),
    "--n-trials": ("--trials",),
    "--population-size": ("--trials",),
    "--population": ("--trials",),
    "--trials": ("--seeds",),
    "--seeds": ("--seeds-per-trial", "--seed"),
    "--num-seeds": ("--seeds", "--seeds-per-trial"),
    "--n-evals": ("--episodes",),
    "--eval-episodes": ("--episodes",),
    "--n-eval-episodes": ("--episodes",),
    "--gpus": ("--gpus-per-trial",),
    "--gpu": ("--gpus-per-trial",),
    "--num-gpus": ("--gpus-per-trial",),
    "--cpus": ("--cpus-per-trial",),
    "--num-cpus": ("--cpus-per-trial",),
    "--memory": ("--memory-per-trial",),
    "--workers": ("--concurrent",),
    "--jobs": ("--concurrent",),
    "--n-jobs": ("--concurrent",),
    "--parallel": ("--concurrent",),
    "--max-concurrent": ("--concurrent",),
    "--output": ("--storage", "--video"),
    "--out": ("--storage", "--video"),
    "--output-dir": ("--storage",),
    "--log-dir": ("--storage",),
    "--logdir": ("--storage",),
    "--dir": ("--storage",),
    "--run-name": ("--name",),
    "--config": ("--preset",),
    "--env-kwargs": ("--env-arg",),
    "--env-config": ("--env-arg",),
    "--sampler": ("--searcher",),
    "--search-alg": ("--searcher",),
    "--pruner": ("--scheduler",),
    "--timeout": ("--time-budget",),
    "--time": ("--time-budget",),
    "--hours": ("--time-budget",),
    "--check": ("--dry-run",),
    "--plan": ("--dry-run",),
    "--silent": ("--quiet",),
}
#: Words that other programs start a job with.
_MAIN_JOB = ("run", "sweep", "search", "optimize", "optimise", "start", "fit")


def show(error: Any) -> int:
    """Prints what is wrong with a command line, and returns the exit code."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return int(error.exit_code)
    refused = error if isinstance(error, RltuneError) else BadInput(_meant(error))
    console.show_error(refused)
    return refused.exit_code


def _meant(error: Any) -> str:
    """One line for an error of typer's."""
    if error.ctx is None:
        return str(error.format_message())
    kind, usage = type(error).__name__, str(error.ctx.get_usage()).strip()
    if kind == "NoSuchOption":
        return _no_such_option(error)
    if kind == "MissingParameter":
        param = error.param
        name = param.opts[0] if isinstance(param, TyperOption) else param.metavar
        return f"{name} is missing: {param.help} {usage}"
    if extra := re.search(r"unexpected extra arguments?(?:\(s\))? \((.*)\)", error.message):
        words = extra[1].split()
        if "=" in words:
            return "write KEY=VALUE without spaces around the =, as in lr=1e-3"
        hint = " Several environments are written as cartpole,acrobot." if _are_envs(words) else ""
        return f"{' '.join(words)!r} is one word too many.{hint} {usage}"
    return str(error.format_message())


def _are_envs(words: Sequence[str]) -> bool:
    named = (word.strip(",") for word in words)
    return all(name in envs.INFOS or envs.known(name) is not None for name in named)


def _no_such_option(error: Any) -> str:
    command, path, name = error.ctx.command, error.ctx.command_path, error.option_name
    known = [opt for p in command.get_params(error.ctx) for opt in (*p.opts, *p.secondary_opts)]
    shown = "rltune" if path == "rltune sweep" else path
    if shown == "rltune":
        known.append("--version")
    said = f"{shown} has no option {name}."
    meant = [each for each in _OPTIONS.get(name, ()) if each in known]
    setting = name.lstrip("-").replace("-", "_")
    if meant:
        hint = f" Did you mean {' or '.join(meant)}?"
    elif "--set" in known and (names := _settings(setting)):
        return f"{said} {name} is a setting: {spelling('settings')} {names[0]}=VALUE"
    else:
        hint = did_you_mean(name, known).replace("'", "")
    return f"{said}{hint} See `{shown} {'ALGO ENV ' if shown == 'rltune' else ''}--help`."


def _settings(word: str) -> list[str]:
    """Settings of any algorithm that a word stands for."""
    for each in ALGORITHMS.values():
        if names := [word] if word in each.settings else aliases.names_for(word, each.settings):
            return names
    return []


def check_first(word: str, others: Sequence[str]) -> None:
    """Checks the first word of the main job, which should be an algorithm.

    Raises:
        BadInput: it is something else, or nearly a command.
    """
    if word in ALGORITHMS:
        return
    env = next((each for each in others if not each.startswith("-")), "cartpole")
    if word in _MAIN_JOB and others:
        after = " ".join(["rltune", *others])
        raise BadInput(f"the main job has no word of its own: {after}")
    if word == "version":
        raise BadInput("write `rltune --version`")
    if (Path(word) / "run.json").is_file():
        raise BadInput(f"{word} is a run folder: `rltune show {word}`, or see `rltune --help`")
    if word in envs.INFOS and env not in ALGORITHMS:
        algo = next((algo for algo, name in catalog.preset_names() if name == word), "ppo")
        raise BadInput(f"{word} is an environment, the algorithm comes first: rltune {algo} {word}")
    if did_you_mean(word, ALGORITHMS):
        return
    if hint := did_you_mean(word, COMMANDS):
        raise BadInput(f"Unknown command {word!r}.{hint}")
    if env in ALGORITHMS:
        raise BadInput(f"the algorithm comes first: rltune {env} {word}")


def preset_defaults(algo: str, env: str) -> dict[str, Any]:
    """The options that a preset decides, as help shows them; empty where none is named."""
    if algo not in ALGORITHMS or env not in envs.INFOS:
        return {}
    preset = catalog.preset(algo, envs.INFOS[env], images=envs.INFOS[env].images or False)
    values = {**vars(preset.budget), **vars(preset.evaluation)}
    return {name: _shown(value) for name, value in values.items() if value is not None}


def _shown(value: Any) -> Any:
    return value if isinstance(value, bool | str) else number(value)
