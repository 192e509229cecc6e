"""Measures what whole sweeps of PPO cost and find, by training: steps to a score, and bad luck.

    python scripts/bench_sweeps.py steps --out steps.jsonl      # TPE with ASHA beside random search
    python scripts/bench_sweeps.py seeds --out seeds.jsonl      # four seeds a setting beside one

`steps`: the environment steps of a whole sweep until the training return of a trial reaches the
score of the preset's certificate. Both sides search a wide space, or a vast one in which few
settings work, from the same defaults: drawn at random in each repetition, and tried first.

`seeds`: settings for Acrobot without the preset's entropy bonus, with which some seeds never swing
up. Each side spends the steps of about 17 trials: on 17 settings, or on a race of 7. What it found
is trained on 16 fresh seeds.

Trials run one after the other, each with one torch thread, so that a repetition depends on its seed
alone. Two repetitions run at a time. One that is in the file already is not run again. Prints
tables of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rltune.runs.folder import RunFolder
from rltune.space import space_of
from rltune.statistics import interval

#: About the ranges that people search.
WIDE: dict[str, Any] = {
    "lr": {"log": [1e-5, 1e-1]},
    "gamma": {"one_minus_log": [0.9, 0.9999]},
    "lambda_": {"one_minus_log": [0.8, 0.99]},
    "clip_param": {"uniform": [0.05, 0.4]},
    "entropy_coeff": {"log": [1e-8, 1e-1]},
    "num_epochs": {"int": [1, 20]},
}
#: The ranges of somebody who knows nothing of PPO: few settings work.
VAST: dict[str, Any] = {
    "lr": {"log": [1e-7, 1.0]},
    "gamma": {"one_minus_log": [0.5, 0.9999]},
    "lambda_": {"one_minus_log": [0.0, 0.99]},
    "clip_param": {"uniform": [0.01, 0.9]},
    "entropy_coeff": {"log": [1e-8, 1.0]},
    "num_epochs": {"int": [1, 20]},
}
#: Environment and space of each task of `steps`.
TASKS = {
    "cartpole": ("cartpole", WIDE),
    "acrobot": ("acrobot", WIDE),
    "cartpole, vast": ("cartpole", VAST),
    "acrobot, vast": ("acrobot", VAST),
}
#: Score of the certificate at the time; of CartPole what its preset trains to, as 500 is the most.
CERTIFIED = {"cartpole": 495.0, "acrobot": -83.5}
#: Environment steps of a trial; most trials of a sweep.
STEPS, MOST = {"cartpole": 100_000, "acrobot": 150_000}, 40
METHODS = {"random": ("fifo", "random"), "tpe + asha": ("asha", "tpe")}

#: Environment steps of a trial without entropy bonus; settings of each side; seeds of a verdict,
#: and the mean returns under which one has failed, and under which it has learned little.
SEED_STEPS = 60_000
SETTINGS = {1: 17, 4: 7}
FRESH, THRESHOLD, LITTLE = 16, -100.0, -150.0


@dataclass(frozen=True)
class Outcome:
    """What came of one side in one repetition.

    Attributes:
        side: a method of `steps`, or the number of seeds of a setting.
        env_steps: that the sweep has taken; trials: that it has started.
        reached: whether a trial came to the score.
        found: the settings of the best policy.
        scores: of these settings on fresh seeds.
    """

    task: str
    side: str
    seed: int
    env_steps: int
    trials: int
    reached: bool
    found: Mapping[str, Any]
    scores: tuple[float, ...] = ()


def _sweep(env: str, seed: int, **request: Any) -> RunFolder:
    """Runs a sweep of PPO in this process."""
    import rltune

    return rltune.sweep("ppo", env, seed=seed, concurrent=1, **request).folder


def _outcome(folder: RunFolder, task: str, side: str, seed: int) -> Outcome:
    summary = folder.summary
    assert summary is not None
    best = summary.best.config if summary.best else {}
    found = {name: best[name] for name in folder.spec.space if name in best}
    reached = summary.stop_reason == "target"
    return Outcome(task, side, seed, summary.env_steps, len(folder.trials()), reached, found)


def steps(task: str, side: str, seed: int, storage: str) -> Outcome:
    """A sweep of a method until a trial reaches the score."""
    env, bodies = TASKS[task]
    scheduler, searcher = METHODS[side]
    first = space_of(bodies).space.sample(np.random.default_rng(seed))
    space = {name: {**body, "default": first[name]} for name, body in bodies.items()}
    folder = _sweep(
        env,
        seed,
        scheduler=scheduler,
        searcher=searcher,
        space=space,
        trials=MOST,
        steps=STEPS[env],
        target=CERTIFIED[env],
        episodes=2,
        selection_episodes=1,
        storage=storage,
    )
    return _outcome(folder, task, side, seed)


def seeds(env: str, side: str, seed: int, storage: str) -> Outcome:
    """A sweep with some seeds a setting, and what its best settings come to on fresh ones."""
    import rltune

    fixed = {"entropy_coeff": 0.0}
    folder = _sweep(
        env,
        seed,
        scheduler="fifo",
        searcher="random",
        trials=SETTINGS[int(side)],
        seeds_per_trial=int(side),
        steps=SEED_STEPS,
        target=math.inf,
        settings=fixed,
        storage=storage,
    )
    outcome = _outcome(folder, env, side, seed)
    run = rltune.train(
        "ppo",
        env,
        seeds=FRESH,
        steps=SEED_STEPS,
        target=math.inf,
        concurrent=1,
        seed=10_000,
        settings={**fixed, **outcome.found},
        storage=storage,
    )
    summary = run.folder.summary
    assert summary is not None
    scores = tuple(of_seed.score for of_seed in summary.seeds or [])
    return Outcome(**{**asdict(outcome), "scores": scores})


Measure = Callable[[str, str, int, str], Outcome]
KINDS: dict[str, tuple[Measure, tuple[str, ...], tuple[str, ...]]] = {
    "steps": (steps, tuple(TASKS), tuple(METHODS)),
    "seeds": (seeds, ("acrobot",), tuple(map(str, SETTINGS))),
}


# Running ------------------------------------------------------------------------------------------


def _start() -> None:
    """A Ray of one CPU for all that this process runs."""
    from rltune.sweeps import surroundings

    os.environ.update(surroundings.VARIABLES)  # Ray is as quiet as in a sweep
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)


def _one(kind: str, task: str, side: str, seed: int) -> Outcome:
    with tempfile.TemporaryDirectory() as storage:
        return KINDS[kind][0](task, side, seed, storage)


def run_all(kind: str, options: argparse.Namespace) -> None:
    """Runs every repetition that the file lacks, the sides side by side."""
    done = {(outcome.task, outcome.side, outcome.seed) for outcome in read(options.out)}
    _, tasks, sides = KINDS[kind]
    tasks = options.tasks or tasks
    due = [
        (task, side, seed)
        for seed in range(options.repetitions)
        for task in tasks
        for side in sides
        if (task, side, seed) not in done
    ]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, spawn, initializer=_start) as pool:
        futures = [pool.submit(partial(_one, kind), *each) for each in due]
        for future in futures:
            outcome = future.result()
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
            print(outcome, flush=True)


def read(out: Path) -> list[Outcome]:
    """Reads the outcomes of a file."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return [Outcome(**json.loads(line)) for line in lines]


# Reporting ----------------------------------------------------------------------------------------


def shown(values: Any, digits: int = 0, sign: str = "") -> str:
    """A mean and its 95 % bootstrap interval, where there are values enough for one."""
    low, high = interval(values)
    form = f"{sign},.{digits}f"
    if math.isnan(low):
        return f"{np.mean(values):{form}}"
    return f"{np.mean(values):{form}} [{low:{form}}, {high:{form}}]"


def report_steps(outcomes: list[Outcome]) -> None:
    """Prints the steps of each side, and their difference by repetition."""
    print("| ppo | side | reached | trials | env steps | less than random |")
    print("|---|---|---|---|---|---|")
    for task in dict.fromkeys(outcome.task for outcome in outcomes):
        sides = {side: _of(outcomes, task, side) for side in METHODS}
        common = sorted(set.intersection(*(set(runs) for runs in sides.values())))
        for side, runs in sides.items():
            of_side = [runs[seed] for seed in common]
            spent = np.array([outcome.env_steps for outcome in of_side])
            rival = np.array([sides["random"][seed].env_steps for seed in common])
            less = "" if side == "random" else shown(rival - spent, sign="+")
            reached = sum(outcome.reached for outcome in of_side)
            trials = np.mean([outcome.trials for outcome in of_side])
            cells = f"{reached} of {len(common)} | {trials:.1f} | {shown(spent)} | {less}"
            print(f"| {task} | {side} | {cells} |")
    print("\nSteps as a share of random search's, where that took ten trials or more:")
    for outcome in outcomes:
        rival = _of(outcomes, outcome.task, "random").get(outcome.seed)
        if outcome.side != "random" and rival and rival.trials >= 10:
            share = outcome.env_steps / rival.env_steps
            print(f"- {outcome.task}, repetition {outcome.seed}, {outcome.side}: {share:.2f}")


def report_seeds(outcomes: list[Outcome]) -> None:
    """Prints what each side found, and their difference by repetition."""
    print("| seeds a setting | repetitions | env steps | failed | little | mean | more |")
    print("|---|---|---|---|---|---|---|")
    sides = {side: _of(outcomes, "acrobot", side) for side in map(str, SETTINGS)}
    common = sorted(set.intersection(*(set(runs) for runs in sides.values())))
    for side, runs in sides.items():
        scores = np.array([runs[seed].scores for seed in common])
        rival = np.array([sides["1"][seed].scores for seed in common])
        fail, little = int((scores < THRESHOLD).sum()), (scores < LITTLE).sum(axis=1)
        spent = np.mean([runs[seed].env_steps for seed in common])
        more = "" if side == "1" else shown(scores.mean(axis=1) - rival.mean(axis=1), 1, "+")
        means = shown(scores.mean(axis=1), 1)
        lost = f"{fail} of {scores.size} | {little.sum()}: {', '.join(map(str, little))}"
        print(f"| {side} | {len(common)} | {spent:,.0f} | {lost} | {means} | {more} |")


def _of(outcomes: list[Outcome], task: str, side: str) -> dict[int, Outcome]:
    return {o.seed: o for o in outcomes if (o.task, o.side) == (task, side)}


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--out", type=Path, required=True, help="a file of outcomes to add to")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, help="of `steps`")
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="tables of what is there alone")
    options = parser.parse_args()
    if not options.report:
        run_all(options.kind, options)
    {"steps": report_steps, "seeds": report_seeds}[options.kind](read(options.out))


if __name__ == "__main__":
    main()
