"""Compares learning on rltune's engine, in a batch and on stock RLlib, at equal settings and steps.

    python scripts/bench_learning.py --out learning.jsonl             # every run, then the tables
    python scripts/bench_learning.py --out learning.jsonl --report    # the tables alone
    python scripts/bench_learning.py --out learning.jsonl --sides rltune batch --tasks sac-pendulum

For each task and seed a member is trained with the preset's settings for a fixed number of
environment steps, by ``rltune.algorithms``, by RLlib's own class and, with all other seeds, as a
batch. Two returns are compared: the one reported while training, averaged over the second half of
the steps, and that of the last policy, which plays 100 episodes greedily on seeds that training
never used. The tables show the interquartile mean (IQM) over the seeds of two sides and the 95 %
bootstrap interval of their difference: where the interval of rltune less stock reaches above zero,
rltune is statistically no worse, and where that of a batch less single trials holds zero, they
cannot be told apart. A run that is in the file already is not run again, so that an interrupted
benchmark continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

#: Environment steps of a run, by algorithm and environment.
TASKS = {
    ("ppo", "cartpole"): 40_000,
    ("ppo", "acrobot"): 60_000,
    ("dqn", "cartpole"): 20_000,
    ("dqn", "acrobot"): 20_000,
    ("ppo", "lunarlander"): 100_000,
    ("dqn", "lunarlander"): 30_000,
    ("sac", "pendulum"): 5_000,
}
SIDES = ("stock", "rltune", "batch")
#: Pairs of sides that a table compares.
PAIRS = (("rltune", "stock"), ("batch", "rltune"))
SEEDS = range(10)
EPISODES = 100
RESAMPLES = 20_000


@dataclass(frozen=True)
class Outcome:
    """One run.

    Attributes:
        training: mean return reported over the second half of the steps.
        greedy: mean return of the last policy over fresh episodes, without exploring.
        seconds: wall time of the training.
    """

    side: str
    algo: str
    env: str
    seed: int
    env_steps: int
    training: float
    greedy: float
    seconds: float


def settings_of(algo: str, env: str) -> dict[str, Any]:
    """Returns the preset's settings, searched ones at their defaults."""
    from rltune import catalog
    from rltune.catalog.algorithms import algorithm

    known = algorithm(algo).settings
    preset = catalog.preset(algo, catalog.environment(env))
    return {name: value for name, value in preset.settings.items() if name in known}


def train(side: str, algo: str, env: str, seed: int) -> Outcome:
    """Trains one run in this process."""
    from rltune.sweeps import surroundings

    # isort: split
    import ray
    import torch
    from stock import stock_config

    from rltune import algorithms

    os.environ.update(surroundings.VARIABLES)  # Ray is as quiet as in a sweep
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    torch.set_num_threads(1)
    settings, budget = settings_of(algo, env), TASKS[algo, env]
    if side == "stock":
        member = stock_config(algo, env, settings, seed).build_algo()
    else:
        trainable = getattr(algorithms, algo.upper())
        member = trainable(config={**settings, "env": env, "seed": seed})
    started, steps, reported = time.perf_counter(), 0, []
    while steps < budget:
        if side == "rltune":
            # RLlib's report covers the episodes since the last report, rltune's a longer window.
            member.window.clear()
        result = member.train()["env_runners"]
        steps = int(result["num_env_steps_sampled_lifetime"])
        if steps > budget / 2:
            reported.append(result.get("episode_return_mean", np.nan))
    seconds = time.perf_counter() - started
    net = member.get_module() if side == "stock" else member.learner.net
    greedy = greedy_return(net, env, seed)
    return Outcome(
        side, algo, env, seed, steps, float(np.nanmean(reported)), greedy, round(seconds, 2)
    )


def train_batch(algo: str, env: str) -> list[Outcome]:
    """Trains all seeds as one batch in this process."""
    import torch

    from rltune import algorithms
    from rltune.algorithms.groups import build, make_group

    torch.set_num_threads(1)
    settings, budget = settings_of(algo, env), TASKS[algo, env]
    trainable = getattr(algorithms, algo.upper())
    configs = []
    for seed in SEEDS:
        wanted = {**settings, "env": env, "seed": seed}
        configs.append(trainable.get_default_config().update_from_dict(wanted))
        configs[-1].validate()
    group, network = make_group(configs, torch.device("cpu"))
    reported: list[list[float]] = [[] for _ in SEEDS]
    nets: dict[int, Any] = {}
    started = time.perf_counter()
    while len(nets) < len(SEEDS):
        training = [n for n in range(len(SEEDS)) if n not in nets]
        for n in group.train(configs[0].min_sample_timesteps_per_iteration or 1, training):
            steps = int(group.env_steps[n])
            if steps > budget / 2:
                reported[n].append(group.windows[n].means().get("episode_reward_mean", np.nan))
            group.windows[n].clear()
            if steps >= budget:
                nets[n] = build(network)
                held = nets[n].state_dict()  # constants of a network are not in a batch
                trained = group.learner.network()
                held |= {name: trained[name][n] for name in held.keys() & trained.keys()}
                nets[n].load_state_dict(held)
    seconds = round((time.perf_counter() - started) / len(SEEDS), 2)
    return [
        Outcome(
            *("batch", algo, env, seed, budget, float(np.nanmean(reported[n]))),
            *(greedy_return(nets[n], env, seed), seconds),
        )
        for n, seed in enumerate(SEEDS)
    ]


def greedy_return(net: Any, env: str, seed: int) -> float:
    """Returns the mean return of the greedy policy over fresh episodes."""
    from rltune import envs
    from rltune.algorithms.policy import Policy
    from rltune.engine.codec import action_codec
    from rltune.policies import evaluation
    from rltune.policies.scoring import play
    from rltune.request.resolve import make_spec

    net.eval()
    codec = action_codec(envs.authored(env).action_space)
    spec = make_spec("ppo" if env != "pendulum" else "sac", env)
    seeds = evaluation.evaluation_seeds(seed, EPISODES)
    return float(np.mean(play(Policy(net, codec), spec, seeds)))


def run_all(out: Path, jobs: int, only: argparse.Namespace) -> None:
    """Trains every run that the file lacks, each in a separate process."""
    done = {(o.side, o.algo, o.env, o.seed) for o in read(out)}
    wanted = [
        (side, algo, env, seed)
        for side, (algo, env) in product(only.sides, TASKS)
        for seed in (SEEDS[:1] if side == "batch" else SEEDS)
        if (side, algo, env, seed) not in done and f"{algo}-{env}" in only.tasks
    ]
    with ThreadPoolExecutor(jobs) as pool:
        for outcomes in pool.map(in_process, wanted):
            with out.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(asdict(outcome)) + "\n" for outcome in outcomes)
            print(*outcomes, sep="\n", flush=True)


def in_process(run: tuple[str, str, str, int]) -> list[Outcome]:
    """Trains one run, or all of a batch, in a fresh process, with its own random state."""
    words = [sys.executable, __file__, "--one", *map(str, run)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return [Outcome(**each) for each in json.loads(done.stdout.strip().splitlines()[-1])]


def read(out: Path) -> list[Outcome]:
    """Reads the runs of a file."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return [Outcome(**json.loads(line)) for line in lines]


def iqm(scores: Any, axis: int = -1) -> Any:
    """Computes the interquartile mean (Agarwal et al. 2021)."""
    return stats.trim_mean(scores, 0.25, axis=axis)


def report(outcomes: list[Outcome]) -> None:
    """Prints a table in Markdown for each of the two returns of each pair of sides."""
    for (ours, theirs), measure in product(PAIRS, ("training", "greedy")):
        found = []
        for algo, env in TASKS:
            runs = [
                np.array(
                    [
                        getattr(o, measure)
                        for o in outcomes
                        if (o.side, o.algo, o.env) == (side, algo, env)
                    ]
                )
                for side in (ours, theirs)
            ]
            if all(len(each) for each in runs):
                found.append(row(f"{algo} {env}", TASKS[algo, env], *runs))
        if found:
            print(f"\n{measure} return\n")
            print(f"| task | steps | seeds | {ours} IQM | {theirs} IQM | difference [95 %] |")
            print("|---|---|---|---|---|---|", *found, sep="\n")


def row(name: str, steps: int, ours: Any, theirs: Any) -> str:
    """Formats one line of a table, from the scores of two sides (seeds,)."""
    rng = np.random.default_rng(0)
    drawn = [iqm(rng.choice(values, (RESAMPLES, len(values)))) for values in (ours, theirs)]
    low, high = np.percentile(drawn[0] - drawn[1], [2.5, 97.5])
    return (
        f"| {name} | {steps:,} | {len(ours)} | {iqm(ours):.1f} | {iqm(theirs):.1f} "
        f"| {iqm(ours) - iqm(theirs):+.1f} [{low:+.1f}, {high:+.1f}] |"
    )


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("learning.jsonl"))
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one core each")
    parser.add_argument("--report", action="store_true", help="the table of what is there")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    tasks = ["-".join(task) for task in TASKS]
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks)
    parser.add_argument("--one", nargs=4, metavar=("SIDE", "ALGO", "ENV", "SEED"))
    words = parser.parse_args()
    if words.one:
        side, *task, seed = words.one
        found = train_batch(*task) if side == "batch" else [train(side, *task, int(seed))]
        print(json.dumps([asdict(outcome) for outcome in found]))
        return
    if not words.report:
        run_all(words.out, words.jobs, words)
    report(read(words.out))


if __name__ == "__main__":
    main()
