"""Measures the speed of rltune, Stable-Baselines3, stock RLlib and a bare torch loop.

    python scripts/bench_engine.py                   # needs the `bench` extra
    python scripts/bench_engine.py --tasks dqn --rounds 10
    python scripts/bench_engine.py --gpu             # learners on a GPU, beside ours on the CPU
    python scripts/bench_engine.py --load 2          # beside two busy processes

Each side is a process that trains one agent at identical settings, pinned to one core with one
torch thread. They take turns, A B C D A B C D, each the same number of environment steps a turn,
while the others wait: so that all of them see the same machine. Busy processes multiply matrices
larger than a core's cache, on whichever core is free. Printed are environment steps a
second, their ratios within a round (median, and the lowest and highest round), the same ratios per
second of processor time, in which waiting for the core does not count, the time from the start of
the process to the end of the first update, imports included, and the process's peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

SIDES = ("rltune", "sb3", "stock", "bare")
#: With --gpu; "cpu" is ours with its learner on the CPU.
GPU_SIDES = ("rltune", "cpu", "sb3", "stock")
SHOWN = {
    "cpu": "rltune on the CPU",
    "sb3": "Stable-Baselines3",
    "stock": "stock RLlib",
    "bare": "bare torch",
}


@dataclass(frozen=True)
class Task:
    """A training task, with rltune's names of settings.

    Attributes:
        slice: environment steps of a turn.
        first: environment steps that end with the first update.
    """

    algo: str
    env: str
    slice: int
    first: int
    settings: dict[str, Any]


#: RL Zoo3's settings; schedules at their first value.
TASKS = {
    "ppo": Task(
        "ppo",
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
        "dqn",
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
        "sac",
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
    "ppo-pong": Task(
        "ppo",
        "pong",
        1_024,
        1_024,
        {
            "lr": 2.5e-4,
            "gamma": 0.99,
            "lambda_": 0.95,
            "clip_param": 0.1,
            "entropy_coeff": 0.01,
            "vf_loss_coeff": 0.5,
            "vf_clip_param": float("inf"),
            "grad_clip": 0.5,
            "use_kl_loss": False,
            "train_batch_size": 1_024,
            "minibatch_size": 256,
            "num_epochs": 4,
            "num_env_runners": 0,
            "num_envs_per_env_runner": 8,
            "min_sample_timesteps_per_iteration": 1_024,
            "fcnet_hiddens": [512],
            "fcnet_activation": "relu",
            "vf_share_layers": True,
        },
    ),
    "dqn-pong": Task(
        "dqn",
        "pong",
        1_024,
        1_024,
        {
            "lr": 1e-4,
            "gamma": 0.99,
            "grad_clip": 10.0,
            "train_batch_size": 32,
            "num_env_runners": 0,
            "num_envs_per_env_runner": 1,
            "rollout_fragment_length": 4,
            "training_intensity": 8.0,
            "num_steps_sampled_before_learning_starts": 1_000,
            "target_network_update_freq": 1_000,
            "tau": 1.0,
            "n_step": 1,
            "double_q": False,
            "dueling": False,
            "td_error_loss_fn": "huber",
            "buffer_capacity": 10_000,
            "prioritized_replay": False,
            "initial_epsilon": 1.0,
            "final_epsilon": 0.01,
            "epsilon_timesteps": 100_000,
            "min_sample_timesteps_per_iteration": 1_024,
            "fcnet_hiddens": [512],
            "fcnet_activation": "relu",
        },
    ),
}
#: Those that people train on a laptop; images are for a GPU.
VECTORS = ("ppo", "dqn", "sac")
#: Images that a network sees together.
FRAMES = {"pong": 4}

Run = Callable[[int], int]


def rltune_side(task: Task, gpu: bool) -> Run:
    """Returns rltune's algorithm, as in a user's script."""
    from rltune import algorithms

    own = {"env": task.env, "frame_stack": FRAMES.get(task.env, 1), "seed": 0}
    config = {**task.settings, **own, "num_gpus_per_learner": int(gpu)}
    return _trains(getattr(algorithms, task.algo.upper())(config=config))


def cpu_side(task: Task, gpu: bool) -> Run:
    """The same, whatever there is."""
    return rltune_side(task, gpu=False)


def stock_side(task: Task, gpu: bool) -> Run:
    """Returns RLlib's algorithm."""
    from stock import stock_config

    config = stock_config(task.algo, task.env, task.settings, seed=0)
    if task.env in FRAMES:
        _reads_images(config, task)
    return _trains(config.learners(num_gpus_per_learner=int(gpu)).build_algo())


def _reads_images(config: Any, task: Task) -> None:
    """RLlib wants images as floating-point numbers, and convolutions in their own setting."""
    import gymnasium as gym
    from ray.tune import register_env

    from rltune import envs

    def make(_: Any) -> gym.Env[Any, Any]:
        env = envs.make(task.env, frame_stack=FRAMES[task.env])
        shape = env.observation_space.shape or ()
        floats = gym.spaces.Box(0.0, 1.0, shape, np.float32)
        return gym.wrappers.TransformObservation(
            env, lambda image: np.float32(image / 255.0), floats
        )

    register_env("images", make)
    config.environment("images").rl_module(
        model_config={
            "conv_filters": [[32, 8, 4], [64, 4, 2], [64, 3, 1]],
            "head_fcnet_hiddens": task.settings["fcnet_hiddens"],
            "vf_share_layers": task.settings.get("vf_share_layers", False),
        }
    )


def _trains(member: Any) -> Run:
    def run(env_steps: int) -> int:
        taken = 0
        while taken < env_steps:
            taken += int(member.train()["env_runners"]["num_env_steps_sampled"])
        return taken

    return run


def bare_side(task: Task, gpu: bool) -> Run:
    """Returns the bare torch loop."""
    from bare import RUNS

    return RUNS[task.algo](task.env, task.settings)


def sb3_side(task: Task, gpu: bool) -> Run:
    """Returns Stable-Baselines3's algorithm."""
    import stable_baselines3 as sb3
    import torch
    from stable_baselines3.common.env_util import make_vec_env

    from rltune import envs

    c = task.settings
    frames = FRAMES.get(task.env, 1)
    env = make_vec_env(
        lambda: envs.make(task.env, frame_stack=frames), c["num_envs_per_env_runner"], seed=0
    )
    activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[c["fcnet_activation"]]
    layers = c["fcnet_hiddens"] if frames == 1 else []  # its convolutions end in one of 512
    network = {"net_arch": layers, "activation_fn": activation}
    kwargs: dict[str, Any] = {
        "policy_kwargs": network,
        "gamma": c["gamma"],
        "device": "cuda" if gpu else "cpu",
        "seed": 0,
    }
    if task.algo == "ppo":
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
    if task.algo == "dqn":
        kwargs |= {
            "target_update_interval": c["target_network_update_freq"],
            "exploration_fraction": 1.0,
            "exploration_final_eps": c["final_epsilon"],
            "max_grad_norm": c["grad_clip"],
        }
    policy = "CnnPolicy" if frames > 1 else "MlpPolicy"
    model = getattr(sb3, task.algo.upper())(policy, env, **kwargs)

    def run(env_steps: int) -> int:
        before = model.num_timesteps
        model.learn(env_steps, reset_num_timesteps=False)
        return int(model.num_timesteps - before)

    return run


MAKE = {
    "rltune": rltune_side,
    "cpu": cpu_side,
    "sb3": sb3_side,
    "stock": stock_side,
    "bare": bare_side,
}


def serve(name: str, side: str, core: int, gpu: bool) -> None:
    """Runs one side: trains the number of steps on each line of stdin and answers with the time."""
    started = time.perf_counter()
    if side in ("rltune", "cpu", "stock"):
        from rltune.sweeps import surroundings

        # isort: split
        import ray

        os.environ.update(surroundings.VARIABLES)  # Ray is as quiet as in a sweep
        # Ray's own processes start before the pinning: they stay out of the way.
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    os.sched_setaffinity(0, {core})
    import torch

    torch.set_num_threads(1)
    run = MAKE[side](TASKS[name], gpu)
    run(TASKS[name].first)
    _answer({"first": time.perf_counter() - started})
    for line in sys.stdin:
        before, busy_before = time.perf_counter(), time.process_time()
        taken = run(int(line))
        speed = taken / (time.perf_counter() - before)
        busy_speed = taken / (time.process_time() - busy_before)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        _answer({"speed": speed, "busy_speed": busy_speed, "peak": peak})
    os._exit(0)  # Ray's processes go by themselves


def _answer(values: dict[str, float]) -> None:
    print("=" + json.dumps(values), flush=True)


class Side:
    """The process of one side, seen from the parent."""

    def __init__(self, task: str, name: str, core: int, gpu: bool) -> None:
        words = [sys.executable, __file__, "--serve", task, name, "--core", str(core)]
        words += ["--gpu"] if gpu else []
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.first = self._read()["first"]
        self.speeds: list[float] = []
        self.busy_speeds: list[float] = []
        self.peak = 0.0

    def turn(self, env_steps: int, *, counts: bool = True) -> None:
        """Lets it train for some steps."""
        assert self._process.stdin
        print(env_steps, file=self._process.stdin, flush=True)
        answer = self._read()
        self.peak = answer["peak"]
        if counts:
            self.speeds.append(answer["speed"])
            self.busy_speeds.append(answer["busy_speed"])

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


#: What a busy process does: matrices of 8 MB each, with one thread.
BUSY = """
import os
import numpy as np
a, parent = np.random.default_rng(0).random((1024, 1024)), os.getppid()
while os.getppid() == parent:
    a = a @ a
    a /= a.max()
"""


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keeps so many processes busy."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    others = [subprocess.Popen([sys.executable, "-c", BUSY], env=one_thread) for _ in range(count)]
    try:
        yield
    finally:
        for each in others:
            each.kill()


def measure(name: str, rounds: int, core: int, names: list[str], gpu: bool, load: int) -> None:
    """Runs one task and prints its table in Markdown."""
    task = TASKS[name]
    sides = {side: Side(name, side, core, gpu) for side in names}
    for side in sides.values():
        side.turn(task.slice, counts=False)
    for _ in range(rounds):
        for side in sides.values():
            side.turn(task.slice)
    for side in sides.values():
        side.end()
    ours = sides["rltune"]
    where = ", learners on a GPU" if gpu else ""
    where += f", beside {load} busy {'process' if load == 1 else 'processes'}" if load else ""
    print(f"\n{task.algo} {task.env}{where}, {rounds} turns of {task.slice} steps\n")
    print("| | env steps/s | rltune is | in processor time | first update | peak memory |")
    print("|---|---|---|---|---|---|")
    for name, side in sides.items():
        ratios = ("", "")
        if side is not ours:
            ratios = (_ratio(ours.speeds, side.speeds), _ratio(ours.busy_speeds, side.busy_speeds))
        print(
            f"| {SHOWN.get(name, name)} | {np.median(side.speeds):.0f} | {ratios[0]} | {ratios[1]} "
            f"| {side.first:.1f} s | {side.peak:.0f} MB |",
            flush=True,
        )


def _ratio(ours: list[float], others: list[float]) -> str:
    ratio = np.array(ours) / np.array(others)
    return f"{np.median(ratio):.2f}x [{ratio.min():.2f}, {ratio.max():.2f}]"


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--tasks", nargs="+", choices=TASKS, help="those on vectors, with --gpu all"
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--sides", nargs="+", choices=MAKE)
    parser.add_argument("--gpu", action="store_true", help="learners on the first GPU")
    parser.add_argument("--load", type=int, default=0, help="busy processes beside it")
    parser.add_argument("--serve", nargs=2, metavar=("ALGO", "SIDE"), help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.serve:
        serve(*words.serve, words.core, words.gpu)
        return
    sides = words.sides or list(GPU_SIDES if words.gpu else SIDES)
    with busy(words.load):
        for task in words.tasks or (TASKS if words.gpu else VECTORS):
            measure(task, words.rounds, words.core, sides, words.gpu, words.load)


if __name__ == "__main__":
    main()
