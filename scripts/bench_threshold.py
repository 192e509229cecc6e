"""Measures the time until CartPole is solved, with rltune's presets and RL Zoo3's settings.

    python scripts/bench_threshold.py                # needs the `bench` extra; 10 seeds a side

Each run is a process of its own on one core with one torch thread; rltune and Stable-Baselines3
take turns, seed by seed, on the same machine. Every 1,024 environment steps the clock stops while
the policy plays 20 fresh episodes without exploring; the run ends once their mean is over
gymnasium's threshold, 475. What is compared are seconds of training until then, the start of the
process not counted. A run that does not get there within its budget counts as infinite.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ENV, THRESHOLD = "CartPole-v1", 475.0
SIDES = ("rltune", "sb3")
SHOWN = {"rltune": "rltune", "sb3": "Stable-Baselines3, RL Zoo3's settings"}
#: Environment steps of a run, RL Zoo3's own budgets.
BUDGET = {"ppo": 100_000, "dqn": 50_000}
EVERY = 1_024
EPISODES = 20

Act = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """One run: environment steps and seconds of training to the threshold; None: it was not met."""

    side: str
    algo: str
    seed: int
    env_steps: int | None
    seconds: float | None


class Clock:
    """Evaluates the policy at regular steps during training."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.spent, self.due = 0.0, EVERY
        self.since = time.perf_counter()

    def solved(self, env_steps: int, act: Act) -> bool:
        """Whether the policy is over the threshold; evaluates it only at regular steps."""
        if env_steps < self.due:
            return False
        self.due = env_steps + EVERY
        self.spent += time.perf_counter() - self.since
        over = greedy(act, self.seed) >= THRESHOLD
        self.since = time.perf_counter()
        return over


def greedy(act: Act, seed: int) -> float:
    """Returns the mean return over whole episodes on separate seeds."""
    from types import SimpleNamespace

    from rltune.metric import RETURN
    from rltune.policies.evaluation import selection_seeds
    from rltune.policies.scoring import play

    policy = SimpleNamespace(act=act, frame_stack=1, form="auto")
    spec: Any = SimpleNamespace(env_id=ENV, env_args={}, goal=RETURN)
    return float(np.mean(play(policy, spec, selection_seeds(seed, EPISODES))))


def rltune_side(algo: str, seed: int) -> tuple[int, float] | None:
    """Trains the preset's settings on rltune's engine."""
    from rltune.sweeps import surroundings

    # isort: split
    import ray

    from rltune import algorithms, catalog, envs
    from rltune.algorithms.policy import Policy
    from rltune.engine.codec import action_codec

    os.environ.update(surroundings.VARIABLES)  # Ray is as quiet as in a sweep
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    preset = catalog.preset(algo, catalog.environment(ENV))
    settings = {**preset.settings, "min_sample_timesteps_per_iteration": EVERY}
    trainable = getattr(algorithms, algo.upper())
    member = trainable(config={**settings, "env": ENV, "seed": seed})
    policy = Policy(member.learner.net, action_codec(envs.authored(ENV).action_space))
    clock, steps = Clock(seed), 0
    while steps < BUDGET[algo]:
        steps = member.train()["env_steps"]
        if clock.solved(steps, policy.act):
            return steps, clock.spent
    return None


def sb3_side(algo: str, seed: int) -> tuple[int, float] | None:
    """Trains RL Zoo3's settings (hyperparams/ppo.yml and dqn.yml) on Stable-Baselines3."""
    import stable_baselines3 as sb3
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    class Look(BaseCallback):
        def _on_training_start(self) -> None:
            self.clock, self.found = Clock(seed), False

        def _on_step(self) -> bool:
            def act(obs: np.ndarray) -> np.ndarray:
                return np.asarray(self.model.predict(obs, deterministic=True)[0])

            self.found = self.clock.solved(self.num_timesteps, act)
            return not self.found

    if algo == "ppo":
        settings: dict[str, Any] = {
            "n_steps": 32,
            "batch_size": 256,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "n_epochs": 20,
            "ent_coef": 0.0,
            "learning_rate": lambda left: left * 1e-3,
            "clip_range": lambda left: left * 0.2,
        }
        copies = 8
    else:
        settings = {
            "learning_rate": 2.3e-3,
            "batch_size": 64,
            "buffer_size": 100_000,
            "learning_starts": 1_000,
            "gamma": 0.99,
            "target_update_interval": 10,
            "train_freq": 256,
            "gradient_steps": 128,
            "exploration_fraction": 0.16,
            "exploration_final_eps": 0.04,
            "policy_kwargs": {"net_arch": [256, 256]},
        }
        copies = 1
    env = make_vec_env(ENV, n_envs=copies, seed=seed)
    model = getattr(sb3, algo.upper())("MlpPolicy", env, seed=seed, device="cpu", **settings)
    look = Look()
    model.learn(BUDGET[algo], callback=look)
    return (look.num_timesteps, look.clock.spent) if look.found else None


def one(side: str, algo: str, seed: int) -> Outcome:
    """Trains one run in this process."""
    import torch

    torch.set_num_threads(1)
    found = (rltune_side if side == "rltune" else sb3_side)(algo, seed)
    steps, seconds = found or (None, None)
    return Outcome(side, algo, seed, steps, seconds)


def in_process(side: str, algo: str, seed: int, core: int) -> Outcome:
    """Trains one run in a separate process, pinned to a core."""
    words = [sys.executable, __file__, "--one", side, algo, str(seed)]
    done = subprocess.run(
        words,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return Outcome(**json.loads(done.stdout.strip().splitlines()[-1]))


def report(outcomes: list[Outcome]) -> None:
    """Prints a table in Markdown."""
    print("\n| | | seeds over the threshold | env steps | seconds | rltune takes |")
    print("|---|---|---|---|---|---|")
    for algo in dict.fromkeys(o.algo for o in outcomes):
        base = _median([o.seconds for o in outcomes if (o.side, o.algo) == ("sb3", algo)])
        for side in SIDES:
            runs = [o for o in outcomes if (o.side, o.algo) == (side, algo)]
            seconds = _median([o.seconds for o in runs])
            solved = sum(o.seconds is not None for o in runs)
            share = f"{seconds / base:.2f} of the time" if side == "rltune" else ""
            steps = _median([o.env_steps for o in runs])
            print(
                f"| {algo} | {SHOWN[side]} | {solved} of {len(runs)} | {steps:,.0f} | "
                f"{seconds:.1f} | {share} |"
            )


def _median(values: list[Any]) -> float:
    return float(np.median([math.inf if value is None else value for value in values]))


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--algos", nargs="+", default=list(BUDGET), choices=list(BUDGET))
    parser.add_argument("--sides", nargs="+", default=SIDES, choices=SIDES)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a file of runs to add to and to report")
    parser.add_argument("--one", nargs=3, metavar=("SIDE", "ALGO", "SEED"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        side, algo, seed = args.one
        print(json.dumps(asdict(one(side, algo, int(seed)))))
        return
    outcomes = []
    for algo in args.algos:
        for seed in range(args.seeds):
            for side in args.sides:
                outcomes.append(in_process(side, algo, seed, args.core))
                print(outcomes[-1], file=sys.stderr, flush=True)
                if args.out:
                    with args.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(outcomes[-1])) + "\n")
    report(outcomes)


if __name__ == "__main__":
    main()
