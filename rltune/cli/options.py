"""Options of commands: made from :mod:`rltune.options`, or the command line's own.

Nothing here takes time to import.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.models import ArgumentInfo

from rltune import options
from rltune.cli.spelling import declared, spelling
from rltune.errors import BadInput
from rltune.options import MACHINE, OPTIONS, Option
from rltune.options.readers import as_number, as_seconds, as_whole
from rltune.runs.remote.location import local
from rltune.schedulers import users_of

Reader = Callable[[str], Any]
#: What is shown of a flag in place of a value.
_NOTHING = ""


def reading(name: str, read: Reader, least: int | None = None) -> Reader:
    """Reads an option's word; a wrong one is refused with what it should be.

    Args:
        read: raises ValueError with what is wrong.
        least: smallest value.
    """

    def parse(word: object) -> Any:
        try:
            value = read(str(word))
        except ValueError as error:
            raise BadInput(f"{spelling(name)} {error}") from None
        if least is not None and value < least:
            raise BadInput(f"{spelling(name)} must be at least {least}, got {value}")
        return value

    return parse


def count(name: str, help: str, *, least: int, **rules: Any) -> Any:
    """A whole number that single commands take."""
    shown = {"metavar": "N", "help": help, **rules}
    return typer.Option(*declared(name), parser=reading(name, as_whole, least), **shown)


def amount(name: str, help: str, *, above: float, **rules: Any) -> Any:
    """A number, larger than another, that single commands take."""

    def read(word: str) -> float:
        value = as_number(word)
        if not above < value < math.inf:
            raise ValueError(f"must be a number above {above:g}, got {word}")
        return float(value)

    shown = {"metavar": "X", "help": help, **rules}
    return typer.Option(*declared(name), parser=reading(name, read), **shown)


def flag(name: str, help: str) -> Any:
    """A switch that single commands take."""
    return typer.Option(name, help=help, metavar=_NOTHING)


RunArgument = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="A run folder, or its URL in an object store.",
        show_default=False,
        parser=local,
    ),
]
RunsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...", help="Run folders, or their URLs.", show_default=False, parser=local
    ),
]
TrustOption = Annotated[
    bool,
    flag("--trust", "You trust the author of the run folder: it may run their code."),
]
JsonOption = Annotated[bool, flag("--json", "Machine-readable: one line of JSON on stdout.")]
AlgoArgument = Annotated[
    str, typer.Argument(metavar="ALGO", help="dqn, ppo or sac.", show_default=False)
]
EnvArgument = Annotated[
    str,
    typer.Argument(
        metavar="ENV",
        help="cartpole, CartPole-v1, my_env.py:MyEnv, module:Env-v0 ...",
        show_default=False,
    ),
]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--env", metavar="NAME", help="Environment of the policy, of a run that has several."
    ),
]
SaveBufferOption = Annotated[
    bool | None,
    typer.Option(
        "--save-buffer/--no-save-buffer",
        metavar=_NOTHING,
        help="Replay buffers in checkpoints, or a new warm-up after each restore.",
        rich_help_panel=MACHINE,
    ),
]
QuietOption = Annotated[bool, flag("--quiet", "Print nothing but errors.")]
DryRunOption = Annotated[
    bool, flag("--dry-run", "Check everything, print the plan, start nothing.")
]
ShipOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH",
        help="File or folder that your code reads, which goes along with it. Again for more.",
        show_default=False,
    ),
]

SpaceOption = Annotated[
    list[str],
    typer.Option(
        metavar="FILE|KEY=SPEC",
        help="Settings to search: a TOML file, or lr={log=[1e-5,1e-2]}. Again for more.",
        show_default=False,
    ),
]

#: Options of a training run: all but those of a search, whose number of trials is its seeds.
OF_TRAINING = tuple(name for name, option in OPTIONS.items() if not option.searches)

#: Options of a landscape: every trial trains to its end.
OF_LANDSCAPES = (*(name for name in OF_TRAINING if name != "target"), "space")

#: Options of a race: all but those that make a method, and the target, which would end it early.
OF_RACES = (
    *(name for name in OF_TRAINING if name not in ("target", "report", "callbacks", "time_budget")),
    *("space", "total_steps", "perturb_every"),
)

#: Options of a run whose settings are given.
OF_REPLAYS = (
    *("seed", "storage", "name", "callbacks", "log", "log_all", "report"),
    *("concurrent", "cpus_per_trial", "gpus_per_trial", "address"),
)

#: What a finished run is extended by.
EXTENDED = ("trials", "steps", "total_steps", "target", "time_budget")
#: Options that a cluster gets as they were typed: all but those of where it is and what it keeps.
FORWARDED = (*OPTIONS, "save_buffer", "json", "quiet")
#: Options of a search over a function, but for those that such a search must have.
OF_FUNCTIONS = tuple(name for name in options.OF_FUNCTIONS if name != "metric")

Command = Callable[..., None]
NO_MORE: Mapping[str, Option] = MappingProxyType({})


def takes(
    names: Iterable[str], inherited: Iterable[str] = (), more: Mapping[str, Option] = NO_MORE
) -> Callable[[Command], Command]:
    """Gives a command the options of some names, in the place of its ``**options``.

    Args:
        more: options that are none of a run.
        inherited: those whose value comes from elsewhere where none is given.
    """

    def with_options(command: Command) -> Command:
        hints = get_type_hints(command, include_extras=True)
        own = [
            parameter.replace(annotation=hints[parameter.name], kind=parameter.KEYWORD_ONLY)
            for parameter in inspect.signature(command).parameters.values()
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        made = [_parameter(OPTIONS[name], name in inherited) for name in names]
        made += [_parameter(option, False) for option in more.values()]
        every = sorted([*made, *own], key=lambda each: not _is_argument(each))
        command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in every}
        return command

    return with_options


def _is_argument(parameter: inspect.Parameter) -> bool:
    return any(isinstance(each, ArgumentInfo) for each in get_args(parameter.annotation))


def _parameter(option: Option, inherited: bool) -> inspect.Parameter:
    """An option as typer reads it."""
    default = None if option.inherited or inherited else option.default
    users = ", ".join(users_of(option.name))
    kind, more = option.types[0], f" For {users}." if users else ""
    if kind not in (int, float, str, bool):  # one KEY=VALUE or one name at a time
        kind, default, more = list[str], [], f"{more} Again for more."
    elif option.read is not None:
        kind, default = str, str(default)
    read, shown = _reader(option, kind)
    info = typer.Option(
        *declared(option.name),
        metavar=option.placeholder or shown,
        parser=read,
        help=option.help + more,
        rich_help_panel=option.panel,
    )
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind if default is not None else kind | None, info],
    )


def _reader(option: Option, kind: Any) -> tuple[Reader | None, str]:
    """What reads an option's word, None for plain text; and what help shows for the word."""
    if kind is bool:
        return None, _NOTHING
    if kind is int:
        return reading(option.name, as_whole), "N"
    if kind is float:
        read = as_seconds if option.unit == " seconds" else as_number
        return reading(option.name, read), "X"
    return None, option.name.upper()
