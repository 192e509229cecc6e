"""Arguments and options that several commands share. Nothing that takes time to import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RUN = "Run"
POPULATION = "Population (pb2, pbt)"
MORE = "Machine"

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)
]
RunsArgument = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)
]
TrustOption = Annotated[
    bool,
    typer.Option("--trust", help="You trust whoever made the run folder: it may run their code."),
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
    typer.Option(
        "--import", metavar="MODULE", help="A module or file.py that registers environments."
    ),
]
EnvArgOption = Annotated[
    list[str],
    typer.Option(
        metavar="K=V",
        help="An argument of the environment, as TOML has it; secrets stay off the disk.",
    ),
]
StepsOption = Annotated[
    int | None, typer.Option(help="Environment steps a trial.", rich_help_panel=RUN)
]
TimeBudgetOption = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Ends the run.", rich_help_panel=RUN)
]
MetricOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What is tuned and scored by: episode_info/<key> for a number in info.",
        rich_help_panel=RUN,
    ),
]
ModeOption = Annotated[
    str, typer.Option(metavar="max|min", help="Which way it is better.", rich_help_panel=RUN)
]
SeedOption = Annotated[int, typer.Option(help="Fixes every draw.", rich_help_panel=RUN)]
StorageOption = Annotated[Path, typer.Option(metavar="DIR", help="Holds run folders.")]
NameOption = Annotated[str | None, typer.Option(help="Of the run folder.")]
ConcurrentOption = Annotated[
    int | None, typer.Option(help="Trials at a time.", rich_help_panel=MORE)
]
CpusOption = Annotated[
    float, typer.Option(help="CPUs set aside for a trial.", rich_help_panel=MORE)
]
GpusOption = Annotated[float, typer.Option(help="GPUs; fractions too.", rich_help_panel=MORE)]
MemoryOption = Annotated[str, typer.Option(metavar="SIZE", help="Like 2GiB.", rich_help_panel=MORE)]
MaxFailuresOption = Annotated[
    int, typer.Option(help="Retries of a trial, from its last checkpoint.", rich_help_panel=MORE)
]
EnvTimeoutOption = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="What one step of the environments may take; inf: for ever.",
        rich_help_panel=MORE,
    ),
]
EnvCopiesOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Environments at any time, in all processes: one a port, one a licence.",
        rich_help_panel=MORE,
    ),
]
EpisodesOption = Annotated[
    int | None,
    typer.Option(help="Behind a score, one a seed; the preset's.", rich_help_panel=RUN),
]
SelectionEpisodesOption = Annotated[
    int | None,
    typer.Option(help="Of each candidate for being the best.", rich_help_panel=RUN),
]
SimulatorOption = Annotated[
    str,
    typer.Option(
        metavar="gymnasium|envpool|auto",
        help="What steps the environments. auto: EnvPool where installed and faster.",
        rich_help_panel=MORE,
    ),
]
AddressOption = Annotated[str | None, typer.Option(help="Of a Ray cluster.", rich_help_panel=MORE)]
SaveBufferOption = Annotated[
    bool | None,
    typer.Option(
        "--save-buffer/--no-save-buffer",
        help="Replay buffers in checkpoints, or a new warm-up after each restore.",
        rich_help_panel=MORE,
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check everything, start nothing.")]
