"""Compares learning on rltune's engine and stock RLlib, with the same settings and steps.

    python scripts/bench_learning.py --out learning.jsonl             # every run, then the table
    python scripts/bench_learning.py --out learning.jsonl --report    # the table alone

For each task and seed a member is trained with the preset's settings for a fixed number of
environment steps, by ``rltune.algorithms`` and by RLlib's own class. Two returns are compared: the
one reported while training, averaged over the second half of the steps, and that of the last
policy, which plays 100 episodes greedily on seeds that training never used. The tables show the
interquartile mean (IQM) over the seeds of each side and the 95 % bootstrap interval of their
difference: where the interval reaches above zero, rltune is statistically no worse. A run that is
in the file already is not run again, so that an interrupted benchmark continues where it stopped.
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
}
SIDES = ("stock", "rltune")
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
        for side, (algo, env), seed in product(only.sides, TASKS, SEEDS)
        if (side, algo, env, seed) not in done and algo in only.algos
    ]
    with ThreadPoolExecutor(jobs) as pool:
        for outcome in pool.map(in_process, wanted):
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
            print(outcome, flush=True)


def in_process(run: tuple[str, str, str, int]) -> Outcome:
    """Trains one run in a fresh process, with its own random state."""
    words = [sys.executable, __file__, "--one", *map(str, run)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return Outcome(**json.loads(done.stdout.strip().splitlines()[-1]))


def read(out: Path) -> list[Outcome]:
    """Reads the runs of a file."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return [Outcome(**json.loads(line)) for line in lines]


def iqm(scores: Any, axis: int = -1) -> Any:
    """Computes the interquartile mean (Agarwal et al. 2021)."""
    return stats.trim_mean(scores, 0.25, axis=axis)


def report(outcomes: list[Outcome]) -> None:
    """Prints a table in Markdown for each of the two returns."""
    for measure in ("training", "greedy"):
        print(f"\n{measure} return\n")
        print("| task | steps | seeds | rltune IQM | stock IQM | difference [95 %] |")
        print("|---|---|---|---|---|---|")
        for algo, env in TASKS:
            runs = {
                side: [o for o in outcomes if (o.side, o.algo, o.env) == (side, algo, env)]
                for side in SIDES
            }
            if all(runs.values()):
                print(row(f"{algo} {env}", measure, TASKS[algo, env], runs))


def row(name: str, measure: str, steps: int, runs: dict[str, list[Outcome]]) -> str:
    """Formats one line of a table."""
    scores = {side: np.array([getattr(o, measure) for o in runs[side]]) for side in SIDES}
    rng = np.random.default_rng(0)
    drawn = {
        side: iqm(rng.choice(values, (RESAMPLES, len(values)))) for side, values in scores.items()
    }
    low, high = np.percentile(drawn["rltune"] - drawn["stock"], [2.5, 97.5])
    ours, theirs = iqm(scores["rltune"]), iqm(scores["stock"])
    return (
        f"| {name} | {steps:,} | {len(scores['rltune'])} | {ours:.1f} | {theirs:.1f} "
        f"| {ours - theirs:+.1f} [{low:+.1f}, {high:+.1f}] |"
    )


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("learning.jsonl"))
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one core each")
    parser.add_argument("--report", action="store_true", help="the table of what is there")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--algos", nargs="+", default=sorted({algo for algo, _ in TASKS}))
    parser.add_argument("--one", nargs=4, metavar=("SIDE", "ALGO", "ENV", "SEED"))
    words = parser.parse_args()
    if words.one:
        side, algo, env, seed = words.one
        print(json.dumps(asdict(train(side, algo, env, int(seed)))))
        return
    if not words.report:
        run_all(words.out, words.jobs, words)
    report(read(words.out))


if __name__ == "__main__":
    main()
