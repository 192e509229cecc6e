"""Options of commands: made from :mod:`rltune.options`, or the command line's own.

Nothing here takes time to import.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

import typer
from typer.models import ArgumentInfo

from rltune import options
from rltune.cli.spelling import declared
from rltune.options import MACHINE, OPTIONS, Option
from rltune.schedulers import users_of

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)
]
RunsArgument = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)
]
TrustOption = Annotated[
    bool,
    typer.Option("--trust", help="You trust the author of the run folder: it may run their code."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Machine-readable: one line of JSON on stdout.")
]
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
SaveBufferOption = Annotated[
    bool | None,
    typer.Option(
        "--save-buffer/--no-save-buffer",
        help="Replay buffers in checkpoints, or a new warm-up after each restore.",
        rich_help_panel=MACHINE,
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check everything, start nothing.")]

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

#: Options of a run whose settings are given.
OF_REPLAYS = (
    *("seed", "storage", "name", "callbacks"),
    *("concurrent", "cpus_per_trial", "gpus_per_trial", "address"),
)

#: What a finished run is extended by.
EXTENDED = ("trials", "steps", "target", "time_budget")
#: Options of a search over a function, but for those that such a search must have.
OF_FUNCTIONS = tuple(name for name in options.OF_FUNCTIONS if name != "metric")

Command = Callable[..., None]


def takes(names: Iterable[str], inherited: Iterable[str] = ()) -> Callable[[Command], Command]:
    """Gives a command the options of some names, in the place of its ``**options``.

    Args:
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
        every = sorted([*made, *own], key=lambda each: not _is_argument(each))
        command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in every}
        return command

    return with_options


def _is_argument(parameter: inspect.Parameter) -> bool:
    return isinstance(get_args(parameter.annotation)[1], ArgumentInfo)


def _parameter(option: Option, inherited: bool) -> inspect.Parameter:
    """An option as typer reads it."""
    default = None if option.inherited or inherited else option.default
    users = ", ".join(users_of(option.name))
    kind, more = option.types[0], f" For {users}." if users else ""
    if kind not in (int, float, str, bool):  # one KEY=VALUE or one name at a time
        kind, default, more = list[str], [], f"{more} Again for more."
    elif option.read is not None:
        kind, default = str, str(default)
    info = typer.Option(
        *declared(option.name),
        metavar=option.placeholder,
        help=option.help + more,
        rich_help_panel=option.panel,
    )
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind if default is not None else kind | None, info],
    )
