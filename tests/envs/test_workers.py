"""Copies in several processes: what they play, and how their processes end."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import faulty
import numpy as np
import psutil
import pytest

from rltune import envs
from rltune.errors import EnvironmentExit, ProcessEnded
from rltune.processes.tracebacks import headline
from rltune.processes.watchdog import collect

pytestmark = pytest.mark.skipif(not envs.POSSIBLE, reason="processes cannot be forked here")


def _made(env: Any, copies: int, processes: int, **more: Any) -> Any:
    guards = {key: more.pop(key) for key in ("timeout", "folder") if key in more}
    return envs.make_vec(
        env, copies, processes=envs.Processes(count=processes, seed=3, **guards), **more
    )


def _played(env: Any, steps: int) -> list[Any]:
    """What reset and some random steps return."""
    env.action_space.seed(0)
    answers = [env.reset(seed=3)[0], *(env.step(env.action_space.sample()) for _ in range(steps))]
    answers.append(env.reset()[0])
    envs.close(env)
    return answers


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and bool(a == b)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("acrobot", {"env_args": {"max_episode_steps": 30}, "frame_stack": 3}),
        ("taxi", {"env_args": {"max_episode_steps": 20}}),
        ("pendulum", {"env_args": {"max_episode_steps": 20}}),
        ("faulty:Faulty", {}),
        ("authors:Reused", {"env_args": {"shared": True}}),
        ("authors:Cruise", {}),
    ],
)
def test_copies_play_as_in_one_process(name: str, more: dict[str, Any]) -> None:
    copies = 3
    one, several = (_made(name, copies, processes, **more) for processes in (1, 2))
    assert isinstance(several, envs.Workers)
    for space in ("single_observation_space", "single_action_space", "observation_space"):
        assert getattr(one, space) == getattr(several, space)
    assert several.frames == more.get("frame_stack", 1)
    assert one.metadata["autoreset_mode"] == several.metadata["autoreset_mode"]
    assert _same(_played(one, 100), _played(several, 100))


class Draws(faulty.Faulty):
    """Draws from generators that all environments of a process share."""

    def see(self) -> Any:
        drawn = np.random.random()  # noqa: NPY002
        return np.array([random.random(), drawn, 0.0], np.float32)


def test_global_generators_differ_between_processes_and_are_seeded() -> None:
    first, again = (_played(_made(Draws, 2, 2), 5) for _ in range(2))
    assert _same(first, again)
    assert len(np.unique(first[0][:, :2])) == 4


class Unpicklable(Exception):
    """Pickle calls it with one argument."""

    def __init__(self, port: int, why: str) -> None:
        super().__init__(f"port {port}: {why}")


class Raises(faulty.Faulty):
    """Goes wrong in an episode's third step, in its second copy."""

    def __init__(self, how: str) -> None:
        self.how = how

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.second = seed == 4
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        if self.second and self.count == 2:
            if self.how == "unpicklable":
                raise Unpicklable(7000, "taken")
            if self.how == "exit":
                sys.exit("enough")
            if self.how == "_exit":
                os._exit(3)
            if self.how == "hang":
                re.match("(a+)+b", "a" * 64)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


@pytest.mark.fault(16, 78)
def test_what_a_copy_raises_is_raised_with_its_place() -> None:
    env = _made(Raises, 2, 2, env_args={"how": "unpicklable"})
    with pytest.raises(Exception, match="port 7000: taken") as raised:
        _played(env, 5)
    assert type(raised.value).__name__ == "Unpicklable"
    assert re.search(
        r"test_workers\.Unpicklable: port 7000: taken \(test_workers\.py:\d+, in step",
        headline(raised.value),
    )
    assert "raise Unpicklable" in str(raised.value.__cause__)
    envs.close(env)


@pytest.mark.fault(19, 21, 99)
@pytest.mark.parametrize(
    ("how", "ended", "told"),
    [
        ("hang", "with exit code 1", "EnvironmentHung: no answer for 0.5 s (in match"),
        ("_exit", "with exit code 3", "ended its process with exit code 3 (in step"),
        ("kill", "by SIGKILL", ""),
    ],
)
def test_a_process_that_ends_is_named_and_leaves_none(
    how: str, ended: str, told: str, tmp_path: Path
) -> None:
    before = psutil.Process().children()
    env = _made(Raises, 3, 2, env_args={"how": how}, timeout=0.5, folder=tmp_path)
    with pytest.raises(ProcessEnded, match=f"a process of the environments ended {ended}"):
        _played(env, 5)
    report = collect(tmp_path)
    assert told in report.partition("\n")[0]
    assert ("test_workers.py" in report) is bool(told)
    envs.close(env)
    assert psutil.Process().children() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(99)
def test_an_exit_is_an_error_of_the_copy() -> None:
    env = _made(Raises, 2, 2, env_args={"how": "exit"})
    with pytest.raises(EnvironmentExit, match=r"SystemExit: enough raised in step \(.*workers"):
        _played(env, 5)
    envs.close(env)


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
from rltune import envs
env = envs.make_vec("faulty:Slow", 2, processes=envs.Processes(count=2))
env.reset(seed=0)
print(*(worker.pid for worker in env._workers), flush=True)
env.step(env.action_space.sample())
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_one_that_made_it(sent: signal.Signals) -> None:
    code = KILLED.format(tests=str(Path(faulty.__file__).parent))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as made:
        assert made.stdout
        pids = [int(pid) for pid in made.stdout.readline().split()]
        assert len(pids) == 2
        made.send_signal(sent)
        made.wait()
    until = time.monotonic() + 5
    while any(map(_runs, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(_runs, pids))


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_steps_all_copies_at_once_is_left_to_it() -> None:
    with pytest.raises(ValueError, match="step at once: env_processes must be 1"):
        _made("cartpole", 8, 2)
    assert not isinstance(_made("acrobot", 1, 2), envs.Workers)
