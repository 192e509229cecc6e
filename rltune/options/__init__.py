"""What a user may ask of a run: each option is a field of one group, with its bounds and its help.

The command line, the checks of presets, of run folders and of Python keywords follow from these
fields; tests hold the signatures and docstrings of :mod:`rltune.api` against them. Nothing here
takes time to import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltune.engine.metric_names import REWARD
from rltune.errors import BadInput
from rltune.options.base import Group, Option, option, options_of, problems
from rltune.options.readers import (
    as_batch,
    as_bytes,
    as_loggers,
    as_names,
    as_objectives,
    as_paths,
    as_points,
    as_table,
)
from rltune.processes.watchdog import ENV_TIMEOUT

__all__ = [
    "GROUPS",
    "OPTIONS",
    "Budget",
    "EnvOptions",
    "Goal",
    "Group",
    "Nodes",
    "Option",
    "Place",
    "Resources",
    "ScoringBudget",
    "Start",
    "options_of",
    "problems",
]

#: Steps of a trial that is over when its function returns.
UNTIL_RETURN = 1 << 53

#: Headings that help shows options under.
RUN, SCHEDULING, MACHINE, NODES = "Run", "Scheduler", "Machine", "Nodes"


@dataclass(frozen=True)
class Budget(Group):
    """What a sweep may spend, how it is spent, and when the sweep is done."""

    panel = RUN
    inherited = True

    steps: int = option(
        100_000, "Environment steps of a trial, in all of its environments together.", least=1
    )
    trials: int = option(
        4,
        "Trials of the sweep; of a population its members and controls.",
        least=1,
        searches=True,
    )
    scheduler: str = option(
        "pb2", "pb2, pbt, mfpbt, asha, hyperband, bohb, median or fifo.", searches=True
    )
    searcher: str = option(
        "random", "random, sobol, tpe, ...: `rltune list searchers` shows all.", searches=True
    )
    cost_aware: bool = option(
        False,
        "Whether to prefer suggestions that promise most for their predicted seconds.",
        panel=SCHEDULING,
        searches=True,
    )
    perturb_every: int = option(
        10_000,
        "Environment steps between two decisions about a trial, before the first, and between "
        "two checkpoints; scaled with steps where those are fewer than the preset's.",
        least=1,
        placeholder="STEPS",
        panel=SCHEDULING,
        searches=True,
    )
    target: float | None = option(
        None, "Value of the metric at which the run ends; inf for never.", placeholder="VALUE"
    )
    time_budget: float | None = option(
        None,
        "Seconds after which the run ends.",
        above=0,
        unit=" seconds",
        placeholder="SECONDS",
    )
    total_steps: int | None = option(
        None,
        "Environment steps of all trials together, lost work included, at which the run ends.",
        least=1,
        placeholder="STEPS",
        searches=True,
    )
    seeds_per_trial: int = option(
        1,
        "Seeds that settings are judged on: a race, in which only the better half gets more.",
        least=1,
        placeholder="K",
        searches=True,
    )
    judge: str = option(
        "mean",
        "What the scores of several seeds come to: mean, iqm or worst.",
        choices=("mean", "iqm", "worst"),
        placeholder="mean|iqm|worst",
        searches=True,
    )
    synchronous: bool = option(
        False,
        "Whether members wait for each other before a decision.",
        panel=SCHEDULING,
        searches=True,
    )
    burn_in: int = option(
        0,
        "Environment steps of a member before the first decision about it.",
        least=0,
        placeholder="STEPS",
        panel=SCHEDULING,
        searches=True,
    )
    quantile: float = option(
        0.25,
        "Share of the population that is replaced, and share that is copied.",
        above=0,
        most=0.5,
        panel=SCHEDULING,
        searches=True,
    )
    resample_probability: float = option(
        0.25,
        "Probability that pbt samples a setting again instead of moving it.",
        least=0,
        most=1,
        panel=SCHEDULING,
        searches=True,
    )
    margin: float = option(
        0.0,
        "Minimum lead in the metric of a donor over the member it replaces.",
        least=0,
        placeholder="VALUE",
        panel=SCHEDULING,
        searches=True,
    )
    controls: int = option(
        0,
        "Trials of a population that are never copied or changed: what it has to beat.",
        least=0,
        placeholder="N",
        panel=SCHEDULING,
        searches=True,
    )
    reduction_factor: int = option(
        3,
        "Ratio of a rung to the one below it; one trial in so many passes it.",
        least=2,
        placeholder="N",
        panel=SCHEDULING,
        searches=True,
    )
    min_samples: int = option(
        3,
        "Other trials of the same age that a trial is compared with, at least.",
        least=1,
        placeholder="N",
        panel=SCHEDULING,
        searches=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.judge != "mean" and self.seeds_per_trial == 1:
            raise BadInput("judge is of several seeds: give `seeds_per_trial` too")
        if self.controls and self.controls > self.trials - 2:
            raise BadInput(
                f"controls: {self.controls} of {self.trials} trials leave fewer than two members "
                f"that learn from each other. Give `trials` = {self.controls + 4} or more"
            )

    @property
    def first_control(self) -> int:
        """The number from which on trials are controls."""
        return self.trials - self.controls

    @property
    def most_trials(self) -> int:
        """Trials of the sweep at most, those of further seeds included."""
        return self.trials * self.seeds_per_trial

    @property
    def most_steps(self) -> int:
        """Steps of all trials together at most."""
        most = self.most_trials * self.steps
        return most if self.total_steps is None else min(most, self.total_steps)


@dataclass(frozen=True)
class ScoringBudget(Group):
    """How long policies are scored."""

    panel = RUN
    inherited = True

    episodes: int = option(100, "Whole episodes behind a score, each on its own seed.", least=1)
    selection_episodes: int = option(
        20, "Whole episodes that each candidate checkpoint plays for being the best.", least=1
    )


@dataclass(frozen=True)
class Goal(Group):
    """What is tuned, selected and scored by."""

    panel = RUN

    metric: str = option(
        REWARD,
        "Metric to tune, select and score by: episode_info/<key> for a number in info.",
        placeholder="NAME",
    )
    mode: str = option(
        "max",
        "Whether a larger or a smaller metric is better: max or min.",
        choices=("max", "min"),
        placeholder="max|min",
    )
    thresholds: Mapping[str, Any] = option(
        None,
        "Return that counts as 1 in an environment, of several that are tuned together.",
        placeholder="ENV=RETURN",
        read=as_table,
        searches=True,
    )
    objective: Sequence[str] = option(
        (),
        "Metrics to tune together, - where smaller is better: episode_reward_mean,-seconds. Kept "
        "are the trials that none beats in all; the first one selects the best.",
        placeholder="NAME,-NAME",
        searches=True,
        read=as_objectives,
    )

    def __post_init__(self) -> None:
        """The first objective is the metric; one alone is only another way to write it."""
        super().__post_init__()
        if self.objective:
            first, wrong = self.objective[0], ""
            metric, mode = first.removeprefix("-"), "min" if first[0] == "-" else "max"
            if self.metric not in (REWARD, metric):
                wrong = f"metric {self.metric}"
            elif self.mode == "min" != mode:
                wrong = "mode min"
            if wrong:
                raise BadInput(f"objective begins with {first}, which contradicts {wrong}: drop it")
            several = tuple(self.objective) if len(self.objective) > 1 else ()
            object.__setattr__(self, "metric", metric)
            object.__setattr__(self, "mode", mode)
            object.__setattr__(self, "objective", several)
        if not self.metric.strip():
            raise BadInput("metric needs a name, like episode_info/is_success")


@dataclass(frozen=True)
class Start(Group):
    """Where settings come from: the preset, and what is laid over it."""

    settings: Mapping[str, Any] = option(
        None, "Settings to fix, by RLlib's name.", placeholder="KEY=VALUE", read=as_table
    )
    space: Mapping[str, Any] = option(
        None,
        "Settings to search, as in a preset: lr={log=[1e-5,1e-2]}.",
        read=as_table,
        placeholder="KEY=SPEC",
        searches=True,
    )
    points: Sequence[Mapping[str, Any]] = option(
        (),
        "Searched settings that the first trials start from: a table as {lr=1e-3}, or a file.",
        placeholder="TABLE|FILE",
        panel=RUN,
        searches=True,
        read=as_points,
    )
    former: Sequence[str | Path] = option(
        (),
        "Former runs whose trials the searcher learns from. `landscape`: the one that ships.",
        placeholder="RUN",
        panel=RUN,
        searches=True,
        read=as_paths,
    )
    preset: str | Path | None = option(
        None, "Preset file that overrides the shipped one.", placeholder="FILE"
    )


@dataclass(frozen=True)
class EnvOptions(Group):
    """How the environment is made and stepped.

    In a :class:`rltune.spec.RunSpec`, ``env_args`` are encoded by :mod:`rltune.envs.arguments`,
    secrets are placeholders, and ``simulator`` is no longer "auto".
    """

    panel = MACHINE

    env_args: Mapping[str, Any] = option(
        None,
        "Arguments of the environment, by name; secrets stay off the disk.",
        read=as_table,
        placeholder="K=V",
        panel=None,
    )
    imports: Sequence[str] = option(
        (),
        "Modules or files that register environments.",
        placeholder="MODULE",
        panel=None,
        read=as_names,
    )
    env_timeout: float = option(
        ENV_TIMEOUT,
        "Seconds that one call of a trial's environments may take; inf for no limit.",
        above=0,
        unit=" seconds",
        placeholder="SECONDS",
    )
    env_copies: int | None = option(
        None,
        "Copies of the environment at any time, in all processes: one a port, one a licence.",
        least=1,
        placeholder="N",
    )
    env_processes: int | None = option(
        None,
        "Processes that step a trial's copies; by default its CPUs, where that is faster.",
        least=1,
        placeholder="N",
    )
    simulator: str = option(
        "auto",
        "What steps the environments; auto: EnvPool where it is installed and faster.",
        choices=("auto", "gymnasium", "envpool"),
        placeholder="gymnasium|envpool|auto",
    )


@dataclass(frozen=True)
class Resources(Group):
    """What trials may take of the machine or the cluster."""

    panel = MACHINE

    concurrent: int | None = option(
        None, "Trials at a time; as many as fit by default.", least=1, placeholder="N"
    )
    cpus_per_trial: float = option(1.0, "CPUs reserved for a trial.", above=0, finite=True)
    gpus_per_trial: float = option(
        0.0, "GPUs reserved for a trial; fractions too.", least=0, finite=True
    )
    memory_per_trial: int = option(
        0, "Memory reserved for a trial, like 2GiB.", least=0, placeholder="SIZE", read=as_bytes
    )
    placement: str = option(
        "pack",
        "How the processes of a trial, or the batches of a sweep, share a cluster: pack on few "
        "machines, spread over many.",
        choices=("pack", "spread"),
        placeholder="pack|spread",
    )
    batch: str = option(
        "auto",
        "Trials that train as one batch, in one process: a number, off, or auto for all where a "
        "GPU is asked for, and for populations and many seeds where it is faster.",
        placeholder="N",
        read=as_batch,
    )
    max_failures: int = option(
        2, "Retries of a trial that fails, from its last checkpoint.", least=0
    )
    address: str | None = option(None, "Address of a Ray cluster to run on.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
            raise BadInput(
                f"gpus_per_trial {self.gpus_per_trial:g}: Ray reserves a part of one GPU, or whole "
                "ones: a number up to 1, or a whole one"
            )


@dataclass(frozen=True)
class Place(Group):
    """Where a run is kept, what watches it, and the seed of all its draws."""

    seed: int = option(0, "Seed of every random draw.", least=0, panel=RUN)
    storage: str | Path = option(
        "runs", "Folder that holds run folders, or a URL: s3://bucket/runs.", placeholder="DIR|URL"
    )
    name: str | None = option(None, "Name of the run folder.")
    callbacks: Sequence[str] = option(
        (),
        "Callbacks that are notified of the run: module:Class or file.py:Class.",
        placeholder="MODULE:CLASS",
        read=as_names,
    )
    log: Sequence[str] = option(
        (),
        "Experiment trackers that show the run, beside TensorBoard: wandb, mlflow, aim, comet.",
        placeholder="NAME,...",
        read=as_loggers,
    )
    log_all: bool = option(
        False, "Whether TensorBoard shows every number of a trial's results, RLlib's hundred too."
    )
    report: bool = option(True, "Whether report.html is written at the end of the run.")


@dataclass(frozen=True)
class Nodes(Group):
    """The cluster that a recipe asks for. None and nothing stand for what its kind takes."""

    panel = NODES

    nodes: int = option(
        2, "Nodes of the cluster; the sweep is driven from one, and trains there too.", least=1
    )
    node_cpus: int = option(16, "CPUs of a node.", least=1)
    node_gpus: int = option(0, "GPUs of a node.", least=0)
    node_memory: int = option(
        0,
        "Memory of a node of kuberay, like 64GiB; 2GiB for each CPU by default.",
        least=0,
        placeholder="SIZE",
        read=as_bytes,
    )
    image: str | None = option(None, "Container image that has rltune, or a cloud's machine image.")
    install: Sequence[str] = option(
        (),
        "What pip installs on a node in place of this version of rltune: a requirement, a wheel's "
        "URL, git+https://...",
        placeholder="WHAT",
        read=as_names,
    )
    region: str | None = option(
        None, "Region of AWS, us-west-2 by default; zone of Google Cloud, us-central1-a."
    )
    project: str | None = option(
        None, "Project of Google Cloud; GOOGLE_CLOUD_PROJECT by default.", placeholder="ID"
    )


GROUPS: tuple[type[Group], ...] = (
    Budget,
    Goal,
    ScoringBudget,
    Start,
    EnvOptions,
    Resources,
    Place,
)

#: Every option by its name.
OPTIONS = {name: one for group in GROUPS for name, one in options_of(group).items()}

#: Options of a recipe, which are none of a run.
OF_NODES = options_of(Nodes)

#: Options of a search over any function: no environment, no policy and no preset.
OF_FUNCTIONS = tuple(
    name
    for group in (Budget, Goal, Start, Resources, Place)
    for name in options_of(group)
    if name not in ("preset", "space", "thresholds", "batch")
)
