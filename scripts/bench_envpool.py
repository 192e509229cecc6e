"""Measures which environments EnvPool steps faster than gymnasium, and whether they are equal.

    pip install -e '.[envpool]' && python scripts/bench_envpool.py [--train] [ENV ...]

Both sides take random actions in the copies that PPO's preset steps together, in turns. Steps are
counted per second of CPU, threads included: a trial has one core. "Same": the smallest p-value of
two-sample Kolmogorov-Smirnov tests of the episodes' returns, lengths and mean observations, one
test each, times their number (Bonferroni); under 0.01 they differ. An environment with
``pooled=True`` in rltune.envs is one that is 1.5 times as fast or more, and the same.

``--train``: what that makes of training, PPO's preset on both sides in turns, one core; and what
the policies score, which gymnasium's episodes tell for both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from dataclasses import dataclass, field

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from scipy.stats import ks_2samp

import rltune
from rltune import catalog, envs
from rltune.statistics import iqm

ROUNDS = 3
#: Families whose observations come from rltune's wrappers, which EnvPool does not have.
WRAPPED = {"toy_text", "minigrid"}


@dataclass
class Played:
    """Episodes of random actions, one row each: return, length and mean observation."""

    episodes: list[np.ndarray] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0

    def play(self, env: VectorEnv, episodes: int, seed: int) -> None:
        """Adds at least this number of episodes."""
        next_step = env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
        env.action_space.seed(seed)
        obs, _ = env.reset(seed=seed)
        # A return, a length and a sum of observations for each copy.
        sums = np.zeros((env.num_envs, 2 + obs.shape[1]))
        fresh = np.zeros(env.num_envs, dtype=bool)
        wanted = len(self.episodes) + episodes
        while len(self.episodes) < wanted:
            actions = env.action_space.sample()
            start = time.process_time()
            following, rewards, terminated, truncated, _ = env.step(actions)
            self.seconds += time.process_time() - start
            done = terminated | truncated
            row = np.column_stack([rewards, np.ones(env.num_envs), obs])
            sums += np.where(fresh[:, None], 0.0, row)
            for one in sums[done]:
                self.episodes.append(np.concatenate([one[:2], one[2:] / one[1]]))
            sums[done] = 0.0
            obs, fresh = following, done & next_step
            self.steps += 1

    def speed(self, copies: int) -> float:
        """Returns the environment steps per second of CPU time."""
        return self.steps * copies / self.seconds


def train(names: list[str], seeds: int) -> None:
    """Prints a table of training runs."""
    print("| environment | gymnasium | EnvPool | EnvPool is | IQM | EnvPool's |")
    print("|---|---|---|---|---|---|")
    for name in names:
        rates: dict[str, list[float]] = {"gymnasium": [], "envpool": []}
        returns: dict[str, list[float]] = {"gymnasium": [], "envpool": []}
        for seed in range(seeds):
            for side in rates:
                with tempfile.TemporaryDirectory() as storage:
                    run = rltune.train(
                        "ppo",
                        name,
                        seeds=1,
                        concurrent=1,
                        seed=seed,
                        simulator=side,
                        storage=storage,
                    )
                    (of_seed,) = run.summary["seeds"]
                rates[side].append(of_seed["env_steps"] / of_seed["train_seconds"])
                returns[side].append(of_seed["score"])
        ours, theirs = (float(np.median(rates[side])) for side in rates)
        scores = " | ".join(f"{iqm(returns[side]):.1f}" for side in returns)
        print(
            f"| {name} | {ours:,.0f} | {theirs:,.0f} | {theirs / ours:.1f}x | {scores} |",
            flush=True,
        )


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    vectors = [n for n, s in envs.INFOS.items() if not s.images and s.family not in WRAPPED]
    parser.add_argument("names", nargs="*", default=vectors, metavar="ENV")
    parser.add_argument("--episodes", type=int, default=240, help="of each side")
    parser.add_argument("--train", action="store_true", help="train in those that are pooled")
    parser.add_argument("--seeds", type=int, default=3, help="training runs of each side")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.train:
        train([name for name in options.names if envs.INFOS[name].pooled], options.seeds)
        return
    print("| environment | copies | gymnasium | EnvPool | EnvPool is | return | EnvPool's | same |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.names:
        copies = catalog.preset("ppo", envs.INFOS[name]).settings["num_envs_per_env_runner"]
        sides: list[tuple[VectorEnv, Played]] = [
            (envs.make_vec(name, copies), Played()),
            (envs.make_vec(name, copies, simulator="envpool"), Played()),
        ]
        for seed in range(ROUNDS):
            for env, played in sides:
                played.play(env, options.episodes // ROUNDS, seed)
        ours, theirs = (np.array(played.episodes) for _, played in sides)
        p_values = [ks_2samp(a, b).pvalue for a, b in zip(ours.T, theirs.T, strict=True)]
        speeds = [played.speed(copies) for _, played in sides]
        print(
            f"| {name} | {copies} | {speeds[0]:,.0f} | {speeds[1]:,.0f} "
            f"| {speeds[1] / speeds[0]:.1f}x | {ours[:, 0].mean():.1f} | {theirs[:, 0].mean():.1f} "
            f"| p {min(1.0, min(p_values) * len(p_values)):.2f} |",
            flush=True,
        )
        for env, _ in sides:
            env.close()


if __name__ == "__main__":
    main()
