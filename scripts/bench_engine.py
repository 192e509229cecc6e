"""How fast is the engine? rltune, Stable-Baselines3, stock RLlib and a bare torch loop.

    python scripts/bench_engine.py                   # needs the `bench` extra
    python scripts/bench_engine.py --tasks dqn --rounds 10

Each side is a process that trains one agent at identical settings, pinned to one core with one
torch thread. They take turns, A B C D A B C D, each the same number of environment steps a turn,
while the others wait: so that all of them see the same machine. Printed are environment steps a
second as ratios within a round (median, and the lowest and highest round), the time from the start
of the process to the end of the first update, imports included, and the process's peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SIDES = ("rltune", "sb3", "stock", "bare")
SHOWN = {"sb3": "Stable-Baselines3", "stock": "stock RLlib", "bare": "bare torch"}


@dataclass(frozen=True)
class Task:
    """What is trained, under rltune's names.

    Attributes:
        slice: environment steps of a turn.
        first: environment steps that end with the first update.
    """

    env: str
    slice: int
    first: int
    settings: dict[str, Any]


#: RL Zoo3's settings; schedules at their first value.
TASKS = {
    "ppo": Task(
        "cartpole",
        8_192,
        256,
        {
            "lr": 1e-3,
            "gamma": 0.98,
            "lambda_": 0.8,
            "clip_param": 0.2,
            "entropy_coeff": 0.0,
            "vf_loss_coeff": 0.5,
            "vf_clip_param": float("inf"),
            "grad_clip": 0.5,
            "use_kl_loss": False,
            "train_batch_size": 256,
            "minibatch_size": 256,
            "num_epochs": 20,
            "num_env_runners": 0,
            "num_envs_per_env_runner": 8,
            "min_sample_timesteps_per_iteration": 2_048,
            "fcnet_hiddens": [64, 64],
            "fcnet_activation": "tanh",
            "vf_share_layers": False,
        },
    ),
    "dqn": Task(
        "cartpole",
        1_024,
        1_024,
        {
            "lr": 2.3e-3,
            "gamma": 0.99,
            "grad_clip": 10.0,
            "train_batch_size": 64,
            "num_env_runners": 0,
            "num_envs_per_env_runner": 1,
            "rollout_fragment_length": 256,
            "training_intensity": 128 * 64 / 256,
            "num_steps_sampled_before_learning_starts": 1_000,
            "target_network_update_freq": 10,
            "tau": 1.0,
            "n_step": 1,
            "double_q": False,
            "dueling": False,
            "td_error_loss_fn": "huber",
            "buffer_capacity": 100_000,
            "prioritized_replay": False,
            "initial_epsilon": 1.0,
            "final_epsilon": 0.04,
            "epsilon_timesteps": 8_000,
            "min_sample_timesteps_per_iteration": 1_024,
            "fcnet_hiddens": [256, 256],
            "fcnet_activation": "relu",
        },
    ),
    "sac": Task(
        "pendulum",
        256,
        300,
        {
            "actor_lr": 1e-3,
            "critic_lr": 1e-3,
            "alpha_lr": 1e-3,
            "initial_alpha": 1.0,
            "gamma": 0.99,
            "tau": 0.005,
            "n_step": 1,
            "twin_q": True,
            "target_network_update_freq": 0,
            "train_batch_size": 256,
            "num_env_runners": 0,
            "num_envs_per_env_runner": 1,
            "rollout_fragment_length": 1,
            "training_intensity": 256.0,
            "num_steps_sampled_before_learning_starts": 256,
            "buffer_capacity": 100_000,
            "prioritized_replay": False,
            "min_sample_timesteps_per_iteration": 256,
            "fcnet_hiddens": [256, 256],
            "fcnet_activation": "relu",
        },
    ),
}

Run = Callable[[int], int]


def rltune_side(algo: str, task: Task) -> Run:
    """rltune's algorithm, in a script of one's own."""
    from rltune import algorithms

    member = getattr(algorithms, algo.upper())(config={**task.settings, "env": task.env, "seed": 0})
    return _trains(member)


def stock_side(algo: str, task: Task) -> Run:
    """RLlib's."""
    from stock import stock_config

    return _trains(stock_config(algo, task.env, task.settings, seed=0).build_algo())


def _trains(member: Any) -> Run:
    def run(env_steps: int) -> int:
        taken = 0
        while taken < env_steps:
            taken += int(member.train()["env_runners"]["num_env_steps_sampled"])
        return taken

    return run


def bare_side(algo: str, task: Task) -> Run:
    """The same mathematics and nothing else."""
    from bare import RUNS

    return RUNS[algo](task.env, task.settings)


def sb3_side(algo: str, task: Task) -> Run:
    """Stable-Baselines3's."""
    import stable_baselines3 as sb3
    import torch
    from stable_baselines3.common.env_util import make_vec_env

    from rltune import envs

    c = task.settings
    env = make_vec_env(envs.gym_id(task.env), n_envs=c["num_envs_per_env_runner"], seed=0)
    activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[c["fcnet_activation"]]
    network = {"net_arch": c["fcnet_hiddens"], "activation_fn": activation}
    kwargs: dict[str, Any] = {
        "policy_kwargs": network,
        "gamma": c["gamma"],
        "device": "cpu",
        "seed": 0,
    }
    if algo == "ppo":
        kwargs |= {
            "learning_rate": c["lr"],
            "n_steps": c["train_batch_size"] // c["num_envs_per_env_runner"],
            "batch_size": c["minibatch_size"],
            "n_epochs": c["num_epochs"],
            "gae_lambda": c["lambda_"],
            "clip_range": c["clip_param"],
            "ent_coef": c["entropy_coeff"],
            "vf_coef": c["vf_loss_coeff"],
            "max_grad_norm": c["grad_clip"],
        }
    else:
        rounds = c["rollout_fragment_length"]
        kwargs |= {
            "learning_rate": c.get("lr", c.get("critic_lr")),
            "buffer_size": c["buffer_capacity"],
            "learning_starts": c["num_steps_sampled_before_learning_starts"],
            "batch_size": c["train_batch_size"],
            "tau": c["tau"],
            "train_freq": rounds,
            "gradient_steps": int(c["training_intensity"] * rounds / c["train_batch_size"]),
        }
    if algo == "dqn":
        kwargs |= {
            "target_update_interval": c["target_network_update_freq"],
            "exploration_fraction": 1.0,
            "exploration_final_eps": c["final_epsilon"],
            "max_grad_norm": c["grad_clip"],
        }
    model = getattr(sb3, algo.upper())("MlpPolicy", env, **kwargs)

    def run(env_steps: int) -> int:
        before = model.num_timesteps
        model.learn(env_steps, reset_num_timesteps=False)
        return int(model.num_timesteps - before)

    return run


MAKE = {"rltune": rltune_side, "sb3": sb3_side, "stock": stock_side, "bare": bare_side}


def serve(algo: str, side: str, core: int) -> None:
    """One side: trains as many steps as each line on stdin says, and answers with the time."""
    started = time.perf_counter()
    if side in ("rltune", "stock"):
        from rltune.sweeps import session

        # isort: split
        import ray

        assert session  # importing it first sets Ray up to be quiet
        # Ray's own processes start before the pinning: they stay out of the way.
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    os.sched_setaffinity(0, {core})
    import torch

    torch.set_num_threads(1)
    run = MAKE[side](algo, TASKS[algo])
    run(TASKS[algo].first)
    _answer({"first": time.perf_counter() - started})
    for line in sys.stdin:
        before = time.perf_counter()
        taken = run(int(line))
        speed = taken / (time.perf_counter() - before)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        _answer({"speed": speed, "peak": peak})
    os._exit(0)  # Ray's processes go by themselves


def _answer(values: dict[str, float]) -> None:
    print("=" + json.dumps(values), flush=True)


class Side:
    """A side's process, from here."""

    def __init__(self, algo: str, name: str, core: int) -> None:
        words = [sys.executable, __file__, "--serve", algo, name, "--core", str(core)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.first = self._read()["first"]
        self.speeds: list[float] = []
        self.peak = 0.0

    def turn(self, env_steps: int, *, counts: bool = True) -> None:
        """Lets it train."""
        assert self._process.stdin
        print(env_steps, file=self._process.stdin, flush=True)
        answer = self._read()
        self.peak = answer["peak"]
        if counts:
            self.speeds.append(answer["speed"])

    def _read(self) -> dict[str, float]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("="):
                answer: dict[str, float] = json.loads(line[1:])
                return answer
        raise RuntimeError(f"a side ended: {self._process.args}")

    def end(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def measure(algo: str, rounds: int, core: int, names: list[str]) -> None:
    """Runs one task and prints its table in Markdown."""
    task = TASKS[algo]
    sides = {name: Side(algo, name, core) for name in names}
    for side in sides.values():
        side.turn(task.slice, counts=False)
    for _ in range(rounds):
        for side in sides.values():
            side.turn(task.slice)
    for side in sides.values():
        side.end()
    ours = np.array(sides["rltune"].speeds)
    print(f"\n{algo} {task.env}, {rounds} turns of {task.slice} steps\n")
    print("| | env steps/s | rltune is | first update | peak memory |")
    print("|---|---|---|---|---|")
    for name, side in sides.items():
        speeds = np.array(side.speeds)
        ratio = ours / speeds
        spread = f"{np.median(ratio):.2f}x [{ratio.min():.2f}, {ratio.max():.2f}]"
        print(
            f"| {SHOWN.get(name, name)} | {np.median(speeds):.0f} "
            f"| {'' if name == 'rltune' else spread} | {side.first:.1f} s | {side.peak:.0f} MB |",
            flush=True,
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--serve", nargs=2, metavar=("ALGO", "SIDE"), help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.serve:
        serve(*words.serve, words.core)
        return
    for algo in words.tasks:
        measure(algo, words.rounds, words.core, words.sides)


if __name__ == "__main__":
    main()
