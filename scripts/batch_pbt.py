"""Populations of PPO under PBT: rltune's as batches and trial by trial, and stock Ray Tune's.

What ``bench_batch.py sweep`` measures. Stock is a ``tune.Tuner`` with Tune's own PBT of RLlib's own
PPO. All sides have the same settings, ranges, interval and quantile, and end when each member has
taken its steps: a clone counts its own, though Tune gives it its donor's clock.
"""

from __future__ import annotations

import logging
import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from bench_engine import TASKS

SIDES = ("batch", "off", "stock")
SHOWN = {"batch": "rltune, batches", "off": "rltune, trial by trial", "stock": "stock Ray Tune"}
#: Ranges that all members draw from: kind, as rltune says it, and bounds.
SPACE = {
    "lr": ("log", [3e-4, 3e-3]),
    "gamma": ("uniform", [0.97, 0.999]),
    "clip_param": ("uniform", [0.1, 0.3]),
}
#: RL Zoo3's settings, of CartPole with reports as often as PBT looks at them.
SETTINGS: dict[str, dict[str, Any]] = {
    "cartpole": {**TASKS["ppo"].settings, "min_sample_timesteps_per_iteration": 2_048},
    "lunarlander": {
        **TASKS["ppo"].settings,
        "lambda_": 0.98,
        "entropy_coeff": 0.01,
        "train_batch_size": 16_384,
        "minibatch_size": 64,
        "num_epochs": 4,
        "num_envs_per_env_runner": 16,
        "min_sample_timesteps_per_iteration": 15_000,
    },
}
#: Environment steps of a member, and of an interval of PBT, unless asked otherwise. A batch
#: of LunarLander counts some 200 steps fewer in rltune, which leaves out those that resets take.
STEPS = {"cartpole": (16_384, 4_096), "lunarlander": (48_000, 16_000)}
QUANTILE = 0.25


@dataclass(frozen=True)
class Sweep:
    """What is run.

    Attributes:
        steps: of each member, and perturb_every: of an interval, in environment steps.
        batch: trials in a batch, on the side that has them: a number or auto.
        slots: processes at a time.
    """

    side: str
    env: str
    members: int
    steps: int
    perturb_every: int
    batch: str
    slots: int
    gpu: bool
    seed: int


@dataclass(frozen=True)
class SweepRun:
    """A sweep that has run.

    Attributes:
        seconds: from the call to the end of training, the start of Ray included.
        taken: environment steps of all members when they end: reports overshoot.
        best: the highest return that a member reported.
        load: of the machine, over a minute, before it and after it.
    """

    asked: Sweep
    seconds: float
    taken: int
    exploits: int
    best: float
    load: tuple[float, float]


def run(asked: Sweep) -> SweepRun:
    """Runs a sweep in this process."""
    from rltune.sweeps import surroundings

    os.environ.update(surroundings.VARIABLES)  # Ray is as quiet as in a sweep
    for name in surroundings.LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as storage:
        side = stock if asked.side == "stock" else ours
        seconds, taken, exploits, best = side(asked, storage)
    return SweepRun(asked, round(seconds, 2), taken, exploits, best, (load, os.getloadavg()[0]))


def ours(asked: Sweep, storage: str) -> tuple[float, int, int, float]:
    """Runs a sweep of rltune."""
    import rltune
    from rltune.callbacks.base import Callback, EvaluationStarted

    class Clock(Callback):
        """Notes when training is over: what follows evaluates the best policy."""

        trained = 0.0

        def on_evaluation(self, event: EvaluationStarted) -> None:
            self.trained = time.perf_counter()

    clock, began = Clock(), time.perf_counter()
    folder = rltune.sweep(
        "ppo",
        asked.env,
        scheduler="pbt",
        searcher="random",
        trials=asked.members,
        steps=asked.steps,
        target=float("inf"),
        concurrent=None if asked.side == "batch" else asked.slots,
        batch=asked.batch if asked.side == "batch" else "off",
        gpus_per_trial=int(asked.gpu and asked.side == "batch"),
        population={"perturb_every": asked.perturb_every, "quantile": QUANTILE},
        settings={k: v for k, v in SETTINGS[asked.env].items() if k not in SPACE},
        space={name: {kind: bounds} for name, (kind, bounds) in SPACE.items()},
        seed=asked.seed,
        episodes=1,
        selection_episodes=1,
        report=False,
        storage=storage,
        callbacks=[clock],
    ).folder
    reports = [folder.reports(trial) for trial in folder.trials()]
    returns = [row.episode_reward_mean for rows in reports for row in rows]
    return (
        clock.trained - began,
        sum(rows[-1].env_steps for rows in reports),
        sum(decision.kind == "exploit" for decision in folder.decisions()),
        max(value for value in returns if value is not None),
    )


class Reports:
    """Tune's stop condition: a member ends once it has taken its steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.taken: dict[str, int] = defaultdict(int)
        self.best = -np.inf

    def __call__(self, trial: str, result: Mapping[str, Any]) -> bool:
        runners = result["env_runners"]
        self.taken[trial] += int(runners["num_env_steps_sampled"])
        self.best = float(np.nanmax([self.best, runners.get("episode_return_mean", np.nan)]))
        return self.taken[trial] >= self.steps


def stock(asked: Sweep, storage: str) -> tuple[float, int, int, float]:
    """Runs a ``tune.Tuner`` of RLlib's PPO with Tune's PBT."""
    import ray
    from ray import tune
    from ray.rllib.algorithms.ppo import PPO
    from ray.tune.schedulers import PopulationBasedTraining
    from stock import stock_config

    random.seed(asked.seed)  # Tune's schedulers draw from the global generators
    np.random.seed(asked.seed)  # noqa: NPY002
    domains = {
        name: (tune.loguniform if kind == "log" else tune.uniform)(*bounds)
        for name, (kind, bounds) in SPACE.items()
    }
    scheduler = PopulationBasedTraining(
        time_attr="num_env_steps_sampled_lifetime",
        metric="env_runners/episode_return_mean",
        mode="max",
        perturbation_interval=asked.perturb_every,
        quantile_fraction=QUANTILE,
        hyperparam_mutations=domains,
        require_attrs=False,  # no return before the first episode has ended
        log_config=False,
    )
    reports, began = Reports(asked.steps), time.perf_counter()
    ray.init(address="local", num_cpus=asked.slots, include_dashboard=False, log_to_driver=False)
    config = stock_config("ppo", asked.env, SETTINGS[asked.env], asked.seed).to_dict()
    results = tune.Tuner(
        PPO,
        param_space={**config, **domains},
        tune_config=tune.TuneConfig(scheduler=scheduler, num_samples=asked.members),
        run_config=tune.RunConfig(storage_path=storage, stop=reports, verbose=0),
    ).fit()
    seconds = time.perf_counter() - began
    ray.shutdown()
    if results.errors:
        raise RuntimeError(f"{len(results.errors)} of Tune's trials failed")
    return seconds, sum(reports.taken.values()), scheduler._num_perturbations, reports.best


def table(runs: list[SweepRun]) -> str:
    """The sweeps of one population as a table in Markdown."""
    asked = runs[0].asked
    title = (
        f"PBT of {asked.members} members, PPO on {asked.env}, {asked.steps:,} steps each, an "
        f"interval of {asked.perturb_every:,}, {asked.slots} processes"
        f"{' and a GPU for batches' if asked.gpu else ''}"
    )
    sides = {side: [run for run in runs if run.asked.side == side] for side in SIDES}
    rivals = {run.asked.seed: run.seconds for run in sides["stock"]}
    head = "| | batch | seeds | seconds | x stock | steps taken | exploits | load |"
    rows = [row(side, its, rivals) for side, its in sides.items() if its]
    return "\n".join(["", title, "", head, "|---" * 8 + "|", *rows])


def row(side: str, runs: list[SweepRun], rivals: Mapping[int, float]) -> str:
    """One side's line."""
    seconds = np.array([run.seconds for run in runs])
    faster = [rivals[run.asked.seed] / run.seconds for run in runs if run.asked.seed in rivals]
    spread = f" [{seconds.min():.1f}, {seconds.max():.1f}]" if len(runs) > 1 else ""
    cells = [
        SHOWN[side],
        runs[0].asked.batch if side == "batch" else "",
        str(len(runs)),
        f"{np.median(seconds):.1f}{spread}",
        f"{np.median(faster):.2f}" if faster and side != "stock" else "",
        f"{np.median([run.taken for run in runs]):,.0f}",
        f"{np.median([run.exploits for run in runs]):.0f}",
        f"{min(min(run.load) for run in runs):.1f} to {max(max(run.load) for run in runs):.1f}",
    ]
    return f"| {' | '.join(cells)} |"
