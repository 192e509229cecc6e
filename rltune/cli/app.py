"""The table of commands: their options, and nothing that takes time to import."""

from __future__ import annotations

import sys
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from rltune._version import __version__
from rltune.cli.modules import find_here
from rltune.cli.options import (
    EXTENDED,
    OF_FUNCTIONS,
    OF_LANDSCAPES,
    OF_RACES,
    OF_REPLAYS,
    OF_TRAINING,
    AlgoArgument,
    DryRunOption,
    EnvArgument,
    JsonOption,
    PolicyOption,
    QuietOption,
    RunArgument,
    RunsArgument,
    SaveBufferOption,
    ShipOption,
    SpaceOption,
    TrustOption,
    amount,
    count,
    flag,
    takes,
)
from rltune.cli.usage import CLIENT, Command, Forwarding, MainJob, UsageError, check_words
from rltune.errors import RltuneError
from rltune.options import OF_NODES, OPTIONS, RUN

MAIN_JOB = "sweep"

#: What `rltune` alone shows.
FIRST = """\
rltune tunes reinforcement learning with one command. Three things to do first:

  rltune dqn cartpole           tune DQN on CartPole, and see which settings won
  rltune list presets           see what is tuned already, and in how long it is solved
  rltune ppo my_env.py:MyEnv    tune an environment of your own: a class or function in a file

Add --dry-run to see the plan before anything starts. All commands: rltune --help"""


class PictureFormat(StrEnum):
    """What plots are written as."""

    svg = "svg"
    png = "png"


app = typer.Typer(
    name="rltune",
    help="""Tune reinforcement learning with one command.

    [bold]rltune ALGO ENV[/bold]  sweeps a preset: [bold]rltune dqn cartpole[/bold].
    [bold]rltune ALGO ENV --help[/bold]  shows its options.""",
    rich_markup_mode="rich",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    subcommand_metavar="ALGO ENV | COMMAND",
)


def _call(command: str, /, **options: Any) -> None:
    """Runs a command's module; an error of ours becomes its message and exit code."""
    try:
        if named := _own_modules(options):
            find_here(named)
        import_module(f"rltune.cli.{command}").run(**options)
    except RltuneError as error:
        import_module("rltune.cli.console").show_error(error)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


def _own_modules(options: dict[str, Any]) -> list[str]:
    """The modules that a command line names, which may be the user's own."""
    imports = [*options.get("imports", ()), *options.get("callbacks", ())]
    named = (*(options.get("env") or "").split(","), options.get("function", ""))
    return [*imports, *(name for name in named if ":" in name)]


@app.command(MAIN_JOB, cls=MainJob, hidden=True, no_args_is_help=True)
@takes(OPTIONS)
def _sweep(
    ctx: typer.Context,
    algo: AlgoArgument,
    env: Annotated[
        str | None,
        typer.Argument(metavar="ENV", help="cartpole, CartPole-v1, my_env.py:MyEnv ..."),
    ] = None,
    save_buffer: SaveBufferOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
    **options: Any,
) -> None:
    """Sweeps a preset: trains and tunes trials side by side, scores the best on fresh seeds."""
    options |= {"save_buffer": save_buffer, "json": json, "quiet": quiet, "dry_run": dry_run}
    if env is not None and (options["address"] or "").startswith(CLIENT):
        _call("client", algo=algo, env=env, words=ctx.meta["options"], ship=None, **options)
    else:
        _call("sweep", algo=algo, env=env, **options)


@app.command()
@takes(OPTIONS)
def plan(
    algo: AlgoArgument,
    env: EnvArgument,
    save_buffer: SaveBufferOption = None,
    seconds: Annotated[
        float,
        amount("seconds", "Seconds that trials train for, measured.", above=0, rich_help_panel=RUN),
    ] = 10.0,
    price: Annotated[
        float | None,
        amount("price", "What an hour costs, for the cost of the run.", above=0),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
    **options: Any,
) -> None:
    """Measures the first seconds of a sweep: its time, memory, disk and cost to the end."""
    _call(
        "plan",
        algo=algo,
        env=env,
        save_buffer=save_buffer,
        seconds=seconds,
        price=price,
        json=json,
        quiet=quiet,
        dry_run=dry_run,
        **options,
    )


@app.command()
@takes(OF_TRAINING)
def train(
    algo: AlgoArgument,
    env: EnvArgument,
    seeds: Annotated[int, count("seeds", "Training runs.", least=1, rich_help_panel=RUN)] = 5,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
    **options: Any,
) -> None:
    """Trains a preset's settings on several seeds, without a search, and scores each."""
    _call(
        "train",
        algo=algo,
        env=env,
        trials=seeds,
        json=json,
        quiet=quiet,
        dry_run=dry_run,
        **options,
    )


@app.command()
@takes(OF_LANDSCAPES)
def landscape(
    algo: AlgoArgument,
    env: EnvArgument,
    number_of_settings: Annotated[
        int,
        count("number_of_settings", "Settings, of a Sobol sequence.", least=2, rich_help_panel=RUN),
    ] = 64,
    seeds: Annotated[
        int, count("seeds", "Training runs of each of them.", least=1, rich_help_panel=RUN)
    ] = 4,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
    **options: Any,
) -> None:
    """Trains settings all over a preset's space, on several seeds each, and writes their curves."""
    _call(
        "landscape",
        algo=algo,
        env=env,
        trials=number_of_settings,
        seeds=seeds,
        json=json,
        quiet=quiet,
        dry_run=dry_run,
        **options,
    )


@app.command()
@takes(OF_RACES)
def compare(
    algo: AlgoArgument,
    env: EnvArgument,
    methods: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Schedulers, searchers, or both as asha+tpe.",
            rich_help_panel=RUN,
        ),
    ] = "random,asha,pbt,pb2",
    seeds: Annotated[
        int, count("seeds", "Repetitions of each of them.", least=2, rich_help_panel=RUN)
    ] = 5,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
    **options: Any,
) -> None:
    """Races methods at equal environment steps, and says which are better and which are level."""
    _call(
        "compare",
        algo=algo,
        env=env,
        methods=methods,
        seeds=seeds,
        json=json,
        quiet=quiet,
        dry_run=dry_run,
        **options,
    )


@app.command()
@takes(OF_FUNCTIONS)
def tune(
    function: Annotated[
        str,
        typer.Argument(
            metavar="FUNCTION",
            help="my_train.py:train, module:function, a Trainable class, or RLlib's DQN, APPO ...",
            show_default=False,
        ),
    ],
    space: SpaceOption,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Metric to tune and select by, of those that it reports.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
    **options: Any,
) -> None:
    """Tunes any function that calls rltune.report, a Trainable class, or an RLlib algorithm.

    Steps are reports, or the env_steps that it reports; of an algorithm, environment steps.
    """
    _call(
        "tune",
        function=function,
        space=space,
        metric=metric,
        json=json,
        quiet=quiet,
        dry_run=dry_run,
        **options,
    )


@app.command()
@takes(("preset", "simulator", "imports", *OF_REPLAYS, "batch"))
def certify(
    algo: AlgoArgument,
    env: EnvArgument,
    seeds: Annotated[int, count("seeds", "Training runs.", least=2, rich_help_panel=RUN)] = 10,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
    **options: Any,
) -> None:
    """Trains a preset as it is on fresh seeds and writes what it reached beside it."""
    _call(
        "train",
        certify=True,
        algo=algo,
        env=env,
        trials=seeds,
        json=json,
        quiet=quiet,
        dry_run=dry_run,
        **options,
    )


@app.command()
@takes(("callbacks", "address"))
def resume(
    run: RunArgument,
    json: JsonOption = False,
    quiet: QuietOption = False,
    force: Annotated[bool, flag("--force", "Although space or environment have changed.")] = False,
    trust: TrustOption = False,
    **options: Any,
) -> None:
    """Continues a sweep that was stopped or killed, exactly where it was."""
    _call("resume", run_path=run, json=json, quiet=quiet, force=force, trust=trust, **options)


@app.command()
@takes((*EXTENDED, "callbacks"))
def extend(
    run: RunArgument,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
    trust: TrustOption = False,
    **options: Any,
) -> None:
    """Continues a finished sweep: more trials, longer training or another target."""
    _call("extend", run_path=run, json=json, quiet=quiet, dry_run=dry_run, trust=trust, **options)


@app.command()
def evaluate(
    runs: RunsArgument,
    episodes: Annotated[
        int | None,
        count("episodes", "Whole ones, one a seed; as the run has.", least=1, show_default=False),
    ] = None,
    seed: Annotated[
        int | None, count("seed", "Draws other evaluation seeds.", least=0, show_default=False)
    ] = None,
    json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Scores policies on seeds that no training used; compares those of several runs."""
    _call("evaluate", run_paths=runs, episodes=episodes, seed=seed, json=json, trust=trust)


@app.command()
@takes(OF_REPLAYS, inherited=("cpus_per_trial", "gpus_per_trial"))
def replay(
    run: RunArgument,
    seeds: Annotated[
        int, count("seeds", "Training runs an arm.", least=2, rich_help_panel=RUN)
    ] = 5,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
    trust: TrustOption = False,
    **options: Any,
) -> None:
    """Retrains a sweep's best schedule on fresh seeds, beside constant settings: was it luck?"""
    _call(
        "replay",
        run_path=run,
        trust=trust,
        seeds=seeds,
        json=json,
        quiet=quiet,
        dry_run=dry_run,
        **options,
    )


@app.command()
def play(
    run: RunArgument,
    env: PolicyOption = None,
    video: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Films it, .mp4 or .gif; without it a window opens."),
    ] = None,
    episodes: Annotated[int, count("episodes", "Whole episodes, one a seed.", least=1)] = 1,
    seed: Annotated[
        int | None, count("seed", "Draws other evaluation seeds.", least=0, show_default=False)
    ] = None,
    fps: Annotated[
        int | None,
        count(
            "fps", "Steps a second in the video; the environment's.", least=1, show_default=False
        ),
    ] = None,
    json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Shows a run's best policy, as a video or in a window."""
    _call(
        "play",
        run_path=run,
        env=env,
        video=video,
        episodes=episodes,
        seed=seed,
        fps=fps,
        json=json,
        trust=trust,
    )


@app.command()
def export(
    run: RunArgument,
    env: PolicyOption = None,
    preset: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The best settings, as a preset: .toml.")
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The best policy, checked: .onnx.")
    ] = None,
    optuna: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The trials, as a study of Optuna's: sqlite:///studies.db."
        ),
    ] = None,
    force: Annotated[bool, flag("--force", "Replaces files, and a study.")] = False,
    json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Writes a run's best settings as a preset, its best policy as ONNX, its trials for Optuna."""
    _call(
        "export",
        run_path=run,
        env=env,
        preset=preset,
        onnx=onnx,
        optuna=optuna,
        force=force,
        json=json,
        trust=trust,
    )


@app.command()
def board(
    runs: RunsArgument,
    port: Annotated[int, count("port", "0 takes any free one.", least=0)] = 6006,
) -> None:
    """Opens TensorBoard on 127.0.0.1 over runs."""
    _call("board", run_paths=runs, port=port)


@app.command()
def watch(run: RunArgument) -> None:
    """Shows a run that another process works on, here or on a cluster's storage."""
    _call("watch", run_path=run)


@app.command(cls=Forwarding)
@takes(OPTIONS, more=OF_NODES)
def recipe(
    ctx: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="slurm, kuberay, aws or gcp.", show_default=False),
    ],
    algo: AlgoArgument,
    env: EnvArgument,
    ship: ShipOption = None,
    save_buffer: SaveBufferOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **options: Any,
) -> None:
    """Prints a file that runs a sweep on a cluster: Slurm, KubeRay, or `ray up` on AWS or GCP."""
    _call(
        "recipe",
        words=ctx.meta["options"],
        kind=kind,
        algo=algo,
        env=env,
        ship=ship,
        save_buffer=save_buffer,
        json=json,
        quiet=quiet,
        **options,
    )


@app.command(cls=Forwarding)
@takes(OPTIONS)
def submit(
    ctx: typer.Context,
    algo: AlgoArgument,
    env: EnvArgument,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait", metavar="", help="Whether its log is shown here until it ends."
        ),
    ] = True,
    ship: ShipOption = None,
    save_buffer: SaveBufferOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
    **options: Any,
) -> None:
    """Submits a sweep to a cluster's job API, at the --address http://HOST:8265 of its dashboard.

    The cluster has rltune installed; files of your own that the sweep names are shipped.
    """
    _call(
        "submit",
        words=ctx.meta["options"],
        algo=algo,
        env=env,
        wait=wait,
        ship=ship,
        save_buffer=save_buffer,
        json=json,
        quiet=quiet,
        dry_run=dry_run,
        **options,
    )


@app.command()
def report(
    runs: RunsArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to: .html. In the run folder by default, here for several runs.",
            show_default=False,
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Writes each plot as a picture and its numbers as CSV.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        PictureFormat, typer.Option("--format", help="Of the pictures.")
    ] = PictureFormat.svg,
    json: JsonOption = False,
) -> None:
    """Writes report.html: what came out, how sure it is, and every plot; compares several runs."""
    _call("report", run_paths=runs, output=output, plots=plots, form=form.value, json=json)


@app.command("list")
@takes(("storage",))
def list_(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="presets, settings, algorithms, environments, schedulers, searchers or runs.",
        ),
    ] = "presets",
    algo: Annotated[
        str | None,
        typer.Argument(metavar="ALGO", help="Whose settings, or presets.", show_default=False),
    ] = None,
    json: JsonOption = False,
    **options: Any,
) -> None:
    """Lists what there is."""
    _call("list_", kind=kind, algo=algo, json=json, **options)


@app.command()
@takes(("settings", "space", "preset", "env_args", "imports"))
def show(
    algo: Annotated[
        str, typer.Argument(metavar="ALGO|RUN", help="dqn, ppo or sac; or a run folder alone.")
    ],
    env: Annotated[
        str | None, typer.Argument(metavar="ENV", help="As for a sweep.", show_default=False)
    ] = None,
    json: JsonOption = False,
    **options: Any,
) -> None:
    """Shows a preset resolved, and where each value comes from; or a run: request and state."""
    _call("show", algo=algo, env=env, json=json, **options)


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


COMMANDS = tuple(
    command.name or command.callback.__name__
    for command in app.registered_commands
    if command.callback and not command.hidden
)


for _command in app.registered_commands:
    if _command.cls not in (MainJob, Forwarding):
        _command.cls = Command


def main(argv: list[str] | None = None) -> None:
    """Runs the command line; ``rltune ALGO ENV`` is short for the main job.

    Raises:
        SystemExit: with the exit code, in the end.
    """
    words = sys.argv[1:] if argv is None else argv
    if not words:
        typer.echo(FIRST)
        return
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if words and words[0] not in (*COMMANDS, MAIN_JOB, "--help", "-h", "--version"):
        words = [MAIN_JOB, *words]
    try:
        check_words(words)
        code = app(args=words, prog_name="rltune", standalone_mode=False)
    except (RltuneError, UsageError) as error:
        code = import_module("rltune.cli.mistyped").show(error)
    sys.exit(code or 0)
