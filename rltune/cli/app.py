"""The table of commands: their options, and nothing that takes time to import."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from rltune._version import __version__
from rltune.cli.modules import find_here
from rltune.cli.options import (
    MORE,
    POPULATION,
    RUN,
    AddressOption,
    AlgoArgument,
    ConcurrentOption,
    CpusOption,
    DryRunOption,
    EnvArgOption,
    EnvArgument,
    EnvCopiesOption,
    EnvTimeoutOption,
    EpisodesOption,
    GpusOption,
    ImportOption,
    JsonOption,
    MaxFailuresOption,
    MemoryOption,
    MetricOption,
    ModeOption,
    NameOption,
    PresetOption,
    QuietOption,
    RunArgument,
    RunsArgument,
    SaveBufferOption,
    SeedOption,
    SelectionEpisodesOption,
    SetOption,
    SimulatorOption,
    SpaceOption,
    StepsOption,
    StorageOption,
    TimeBudgetOption,
    TrustOption,
)
from rltune.errors import RltuneError
from rltune.processes.watchdog import ENV_TIMEOUT

MAIN_JOB = "sweep"
#: What is tuned by default; rltune.metric takes longer to import.
METRIC = "episode_reward_mean"

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
    named = [*options.get("imports", ()), options.get("env") or ""]
    return [name for name in named if name and (":" in name or name in options.get("imports", ()))]


class _MainJob(TyperCommand):
    """Takes a word that is no command for an algorithm, unless it was to be a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Looks at the first word before what follows is taken for the main job's."""
        if args and not args[0].startswith("-"):
            _call("mistyped", word=args[0])
        return super().parse_args(ctx, args)


@app.command(MAIN_JOB, cls=_MainJob, hidden=True, no_args_is_help=True)
def _sweep(
    algo: AlgoArgument,
    env: Annotated[
        str | None,
        typer.Argument(metavar="ENV", help="cartpole, CartPole-v1, my_env.py:MyEnv ..."),
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
    steps: StepsOption = None,
    time_budget: TimeBudgetOption = None,
    target: Annotated[
        float | None,
        typer.Option(
            metavar="VALUE",
            help="Ends the sweep once a trial gets there; inf: never.",
            rich_help_panel=RUN,
        ),
    ] = None,
    metric: MetricOption = METRIC,
    mode: ModeOption = "max",
    point: Annotated[
        list[str],
        typer.Option(
            metavar="TABLE",
            help="A trial that starts at '{lr=1e-3}'; again for more.",
            rich_help_panel=RUN,
        ),
    ] = [],  # noqa: B006
    seed: SeedOption = 0,
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
            metavar="VALUE", help="By which a donor is better.", rich_help_panel=POPULATION
        ),
    ] = None,
    set_: SetOption = [],  # noqa: B006
    space: SpaceOption = [],  # noqa: B006
    preset: PresetOption = None,
    env_arg: EnvArgOption = [],  # noqa: B006
    import_: ImportOption = [],  # noqa: B006
    storage: StorageOption = Path("runs"),
    name: NameOption = None,
    concurrent: ConcurrentOption = None,
    cpus_per_trial: CpusOption = 1.0,
    gpus_per_trial: GpusOption = 0.0,
    memory_per_trial: MemoryOption = "0",
    max_failures: MaxFailuresOption = 2,
    env_timeout: EnvTimeoutOption = ENV_TIMEOUT,
    env_copies: EnvCopiesOption = None,
    episodes: EpisodesOption = None,
    selection_episodes: SelectionEpisodesOption = None,
    simulator: SimulatorOption = "auto",
    address: AddressOption = None,
    save_buffer: SaveBufferOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
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
        metric=metric,
        mode=mode,
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
        env_timeout=env_timeout,
        env_copies=env_copies,
        episodes=episodes,
        selection_episodes=selection_episodes,
        simulator=simulator,
        address=address,
    )


@app.command()
def train(
    algo: AlgoArgument,
    env: EnvArgument,
    seeds: Annotated[int, typer.Option(min=1, help="Training runs.", rich_help_panel=RUN)] = 5,
    steps: StepsOption = None,
    time_budget: TimeBudgetOption = None,
    target: Annotated[
        float | None,
        typer.Option(
            metavar="VALUE",
            help="Ends a seed once it gets there; inf: never.",
            rich_help_panel=RUN,
        ),
    ] = None,
    metric: MetricOption = METRIC,
    mode: ModeOption = "max",
    seed: SeedOption = 0,
    set_: SetOption = [],  # noqa: B006
    preset: PresetOption = None,
    env_arg: EnvArgOption = [],  # noqa: B006
    import_: ImportOption = [],  # noqa: B006
    storage: StorageOption = Path("runs"),
    name: NameOption = None,
    concurrent: ConcurrentOption = None,
    cpus_per_trial: CpusOption = 1.0,
    gpus_per_trial: GpusOption = 0.0,
    memory_per_trial: MemoryOption = "0",
    max_failures: MaxFailuresOption = 2,
    env_timeout: EnvTimeoutOption = ENV_TIMEOUT,
    env_copies: EnvCopiesOption = None,
    episodes: EpisodesOption = None,
    selection_episodes: SelectionEpisodesOption = None,
    simulator: SimulatorOption = "auto",
    address: AddressOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Trains a preset's settings on several seeds, without a search, and scores each."""
    _call(
        "train",
        algo=algo,
        env=env,
        trials=seeds,
        steps=steps,
        time_budget=time_budget,
        target=target,
        metric=metric,
        mode=mode,
        seed=seed,
        settings=set_,
        preset=preset,
        env_args=env_arg,
        imports=import_,
        storage=storage,
        name=name,
        concurrent=concurrent,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        memory_per_trial=memory_per_trial,
        max_failures=max_failures,
        env_timeout=env_timeout,
        env_copies=env_copies,
        episodes=episodes,
        selection_episodes=selection_episodes,
        simulator=simulator,
        address=address,
        json=json,
        quiet=quiet,
        dry_run=dry_run,
    )


@app.command()
def certify(
    algo: AlgoArgument,
    env: EnvArgument,
    seeds: Annotated[int, typer.Option(min=2, help="Training runs.", rich_help_panel=RUN)] = 10,
    seed: SeedOption = 0,
    preset: PresetOption = None,
    import_: ImportOption = [],  # noqa: B006
    storage: StorageOption = Path("runs"),
    name: NameOption = None,
    concurrent: ConcurrentOption = None,
    cpus_per_trial: CpusOption = 1.0,
    gpus_per_trial: GpusOption = 0.0,
    simulator: SimulatorOption = "auto",
    address: AddressOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Trains a preset as it is on fresh seeds and writes what it reached beside it."""
    _call(
        "train",
        certify=True,
        algo=algo,
        env=env,
        trials=seeds,
        seed=seed,
        preset=preset,
        imports=import_,
        storage=storage,
        name=name,
        concurrent=concurrent,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        simulator=simulator,
        address=address,
        json=json,
        quiet=quiet,
        dry_run=dry_run,
    )


@app.command()
def resume(
    run: RunArgument,
    json: JsonOption = False,
    quiet: QuietOption = False,
    force: Annotated[
        bool, typer.Option("--force", help="Although space or environment have changed.")
    ] = False,
    trust: TrustOption = False,
) -> None:
    """Goes on with a sweep that was stopped or killed, exactly where it was."""
    _call("resume", run_path=run, json=json, quiet=quiet, force=force, trust=trust)


@app.command()
def evaluate(
    runs: RunsArgument,
    episodes: Annotated[
        int | None,
        typer.Option(min=1, help="Whole ones, one a seed; as the run has.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Draws other evaluation seeds.", show_default=False)
    ] = None,
    json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Scores policies on seeds that no training used; compares those of several runs."""
    _call("evaluate", run_paths=runs, episodes=episodes, seed=seed, json=json, trust=trust)


@app.command()
def replay(
    run: RunArgument,
    seeds: Annotated[
        int, typer.Option(min=2, help="Training runs an arm.", rich_help_panel=RUN)
    ] = 5,
    seed: SeedOption = 0,
    storage: StorageOption = Path("runs"),
    name: NameOption = None,
    concurrent: ConcurrentOption = None,
    cpus_per_trial: Annotated[
        float | None, typer.Option(help="As the sweep had.", rich_help_panel=MORE)
    ] = None,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="As the sweep had.", rich_help_panel=MORE)
    ] = None,
    address: AddressOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    dry_run: DryRunOption = False,
    trust: TrustOption = False,
) -> None:
    """Retrains a sweep's best schedule on fresh seeds, beside constant settings: was it luck?"""
    _call(
        "replay",
        run_path=run,
        trust=trust,
        seeds=seeds,
        seed=seed,
        storage=storage,
        name=name,
        concurrent=concurrent,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        address=address,
        json=json,
        quiet=quiet,
        dry_run=dry_run,
    )


@app.command()
def play(
    run: RunArgument,
    video: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Films it, .mp4 or .gif; without it a window opens."),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Whole episodes, one a seed.")] = 1,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Draws other evaluation seeds.", show_default=False)
    ] = None,
    fps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps a second in the video; the environment's.", show_default=False
        ),
    ] = None,
    json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Shows a run's best policy, as a video or in a window."""
    _call(
        "play",
        run_path=run,
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
    preset: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The best settings, as a preset: .toml.")
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The best policy, checked: .onnx.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replaces files.")] = False,
    json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Writes a run's best settings as a preset, its best policy as ONNX."""
    _call("export", run_path=run, preset=preset, onnx=onnx, force=force, json=json, trust=trust)


@app.command()
def board(
    runs: RunsArgument,
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
    storage: StorageOption = Path("runs"),
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
    env_arg: EnvArgOption = [],  # noqa: B006
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
        env_args=env_arg,
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


COMMANDS = (
    "train",
    "certify",
    "resume",
    "evaluate",
    "replay",
    "play",
    "export",
    "board",
    "list",
    "show",
)


def main(argv: list[str] | None = None) -> None:
    """Runs the command line; ``rltune ALGO ENV`` is short for the main job."""
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] not in (*COMMANDS, MAIN_JOB, "--help", "--version"):
        words = [MAIN_JOB, *words]
    app(args=words, prog_name="rltune")
