"""The table of commands: their options, and nothing that takes time to import."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from rltune import __version__
from rltune.errors import RltuneError

MAIN_JOB = "sweep"
RUN = "Run"
POPULATION = "Population (pb2, pbt)"
MORE = "Machine"

app = typer.Typer(
    name="rltune",
    help="""Tune reinforcement learning with one command.

    [bold]rltune ALGO ENV[/bold]  sweeps a preset: [bold]rltune dqn cartpole[/bold].
    [bold]rltune ALGO ENV --help[/bold]  shows its options.""",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    subcommand_metavar="ALGO ENV | COMMAND",
)

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)
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
        metavar="ENV", help="cartpole, CartPole-v1, module:Env-v0 ...", show_default=False
    ),
]
PresetOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A preset file over the shipped one.")
]
SetOption = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Fix a setting; again for more.")
]
SpaceOption = Annotated[
    list[str],
    typer.Option(metavar="KEY=SPEC", help="Search a setting: 'lr={log=[1e-5,1e-2]}'."),
]
ImportOption = Annotated[
    list[str],
    typer.Option("--import", metavar="MODULE", help="A module that registers environments."),
]
EnvArgOption = Annotated[
    list[str],
    typer.Option(metavar="K=V", help="An argument of the environment; secrets stay off the disk."),
]


def _call(command: str, /, **options: Any) -> None:
    """Runs a command's module; an error of ours becomes its message and exit code."""
    try:
        import_module(f"rltune.cli.{command}").run(**options)
    except RltuneError as error:
        import_module("rltune.cli.console").show_error(error)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


@app.command(MAIN_JOB, hidden=True, no_args_is_help=True)
def _sweep(
    algo: AlgoArgument,
    env: Annotated[
        str | None,
        typer.Argument(metavar="ENV", help="cartpole, CartPole-v1, module:Env-v0 ..."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="pb2, pbt, asha or fifo.", rich_help_panel=RUN)
    ] = None,
    searcher: Annotated[
        str | None, typer.Option(help="random or sobol.", rich_help_panel=RUN)
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Trials; the population's size.", rich_help_panel=RUN)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Environment steps a trial.", rich_help_panel=RUN)
    ] = None,
    time_budget: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Ends the sweep.", rich_help_panel=RUN)
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(
            metavar="RETURN",
            help="Ends the sweep once a trial gets there; inf: never.",
            rich_help_panel=RUN,
        ),
    ] = None,
    point: Annotated[
        list[str],
        typer.Option(
            metavar="TABLE",
            help="A trial that starts at '{lr=1e-3}'; again for more.",
            rich_help_panel=RUN,
        ),
    ] = [],  # noqa: B006
    seed: Annotated[int, typer.Option(help="Fixes every draw.", rich_help_panel=RUN)] = 0,
    perturb_every: Annotated[
        int | None,
        typer.Option(metavar="STEPS", help="Between two decisions.", rich_help_panel=POPULATION),
    ] = None,
    synchronous: Annotated[
        bool | None,
        typer.Option(
            "--synchronous/--asynchronous",
            help="Whether members wait for each other.",
            rich_help_panel=POPULATION,
        ),
    ] = None,
    burn_in: Annotated[
        int | None,
        typer.Option(
            metavar="STEPS", help="Before the first decision.", rich_help_panel=POPULATION
        ),
    ] = None,
    quantile: Annotated[
        float | None,
        typer.Option(help="Share that is replaced.", rich_help_panel=POPULATION),
    ] = None,
    resample_probability: Annotated[
        float | None,
        typer.Option(help="Chance of a fresh draw (pbt).", rich_help_panel=POPULATION),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="RETURN", help="By which a donor is better.", rich_help_panel=POPULATION
        ),
    ] = None,
    set_: SetOption = [],  # noqa: B006
    space: SpaceOption = [],  # noqa: B006
    preset: PresetOption = None,
    env_arg: EnvArgOption = [],  # noqa: B006
    import_: ImportOption = [],  # noqa: B006
    storage: Annotated[Path, typer.Option(metavar="DIR", help="Holds run folders.")] = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Of the run folder.")] = None,
    concurrent: Annotated[
        int | None, typer.Option(help="Trials at a time.", rich_help_panel=MORE)
    ] = None,
    cpus_per_trial: Annotated[
        float, typer.Option(help="CPUs set aside for a trial.", rich_help_panel=MORE)
    ] = 1.0,
    gpus_per_trial: Annotated[
        float, typer.Option(help="GPUs; fractions too.", rich_help_panel=MORE)
    ] = 0.0,
    memory_per_trial: Annotated[
        str, typer.Option(metavar="SIZE", help="Like 2GiB.", rich_help_panel=MORE)
    ] = "0",
    max_failures: Annotated[
        int,
        typer.Option(help="Retries of a trial, from its last checkpoint.", rich_help_panel=MORE),
    ] = 2,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster.", rich_help_panel=MORE)
    ] = None,
    save_buffer: Annotated[
        bool | None,
        typer.Option(
            "--save-buffer/--no-save-buffer",
            help="Replay buffers in checkpoints, or a new warm-up after each restore.",
            rich_help_panel=MORE,
        ),
    ] = None,
    json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, start nothing.")
    ] = False,
) -> None:
    """Sweeps a preset: trains and tunes trials side by side, scores the best on fresh seeds."""
    _call(
        "sweep",
        algo=algo,
        env=env,
        json=json,
        quiet=quiet,
        dry_run=dry_run,
        settings=set_,
        save_buffer=save_buffer,
        space=space,
        env_args=env_arg,
        imports=import_,
        scheduler=scheduler,
        searcher=searcher,
        trials=trials,
        steps=steps,
        time_budget=time_budget,
        target=target,
        points=point,
        seed=seed,
        population={
            "perturb_every": perturb_every,
            "synchronous": synchronous,
            "burn_in": burn_in,
            "quantile": quantile,
            "resample_probability": resample_probability,
            "margin": margin,
        },
        preset=preset,
        storage=storage,
        name=name,
        concurrent=concurrent,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        memory_per_trial=memory_per_trial,
        max_failures=max_failures,
        address=address,
    )


@app.command()
def resume(
    run: RunArgument,
    json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Although space or environment have changed.")
    ] = False,
) -> None:
    """Goes on with a sweep that was stopped or killed, exactly where it was."""
    _call("resume", run_path=run, json=json, quiet=quiet, force=force)


@app.command()
def evaluate(
    run: RunArgument,
    episodes: Annotated[int, typer.Option(min=1, help="Whole episodes, one a seed.")] = 100,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Draws other evaluation seeds.", show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Scores a run's best policy on seeds that no training used."""
    _call("evaluate", run_path=run, episodes=episodes, seed=seed, json=json)


@app.command()
def board(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)
    ],
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = 6006,
) -> None:
    """Opens TensorBoard on 127.0.0.1 over runs."""
    _call("board", run_paths=runs, port=port)


@app.command("list")
def list_(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="presets, algorithms, environments, schedulers, searchers or runs.",
        ),
    ] = "presets",
    storage: Annotated[Path, typer.Option(metavar="DIR", help="Holds run folders.")] = Path("runs"),
    json: JsonOption = False,
) -> None:
    """Lists what there is."""
    _call("list_", kind=kind, storage=storage, json=json)


@app.command()
def show(
    algo: AlgoArgument,
    env: EnvArgument,
    set_: SetOption = [],  # noqa: B006
    space: SpaceOption = [],  # noqa: B006
    preset: PresetOption = None,
    import_: ImportOption = [],  # noqa: B006
    json: JsonOption = False,
) -> None:
    """Shows a preset resolved: settings, space, budget, and where each value comes from."""
    _call(
        "show",
        algo=algo,
        env=env,
        settings=set_,
        space=space,
        preset=preset,
        imports=import_,
        json=json,
    )


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rltune {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


COMMANDS = ("resume", "evaluate", "board", "list", "show")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line; ``rltune ALGO ENV`` is short for the main job."""
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] not in (*COMMANDS, MAIN_JOB, "--help", "--version"):
        words = [MAIN_JOB, *words]
    app(args=words, prog_name="rltune")
