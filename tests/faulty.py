"""Environments that do not keep to gymnasium's API, hang, crash or talk too much."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import psutil
import torch
from devours import devour
from filelock import FileLock


class Faulty(gym.Env[Any, Any]):
    """Ten steps an episode, all of it right: each of the others has one thing wrong."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space: gym.Space[Any] = gym.spaces.Discrete(2)

    def see(self) -> Any:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)

    def reward(self) -> Any:
        return 1.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self.see(), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return self.see(), self.reward(), self.count >= 10, False, {}


# --- what preflight refuses -------------------------------------------------------------------


class OldStep(Faulty):
    def step(self, action: Any) -> Any:
        return self.see(), 1.0, False, {}


class OldReset(Faulty):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.see()


class OldSeed(Faulty):
    def reset(self) -> Any:  # type: ignore[override]
        return self.see(), {}


class GrowingActions(Faulty):
    """Another number of actions in every episode."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        answer = super().reset(seed=seed)
        self.episodes = getattr(self, "episodes", 0) + 1
        self.action_space = gym.spaces.Discrete(1 + self.episodes)
        return answer


class NoReward(Faulty):
    def reward(self) -> Any:
        return None


class ObjectReward(Faulty):
    def reward(self) -> Any:
        return object()


class ArrayReward(Faulty):
    def reward(self) -> Any:
        return np.ones(2)


class WrongShape(Faulty):
    def see(self) -> Any:
        return np.zeros((3, 1), np.float32)


class WrongKind(Faulty):
    observation_space = gym.spaces.Box(0, 255, (3,), np.uint8)

    def see(self) -> Any:
        return np.zeros(3, np.float32)


class Outside(Faulty):
    def see(self) -> Any:
        return np.array([0.0, 7.0, 0.0], np.float32)


class Text(Faulty):
    def see(self) -> Any:
        return "forward"


class HangingMaker(Faulty):
    def __init__(self) -> None:
        time.sleep(1_000)


class HangingReset(Faulty):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        time.sleep(1_000)


class HoldingStep(Faulty):
    """C code that does not let go of the interpreter: no signal, no thread gets through."""

    def step(self, action: Any) -> Any:
        return re.match("(a+)+b", "a" * 64)


class Crowded(Faulty):
    """A process has memory for six copies of it.

    Args:
        by: what says so: ``MemoryError``, or torch as of a GPU.
    """

    copies = 0

    def __init__(self, by: str) -> None:
        type(self).copies += 1
        if self.copies > 6:
            raise {"MemoryError": MemoryError, "torch": torch.OutOfMemoryError}[by]("no more room")


class Segfault(Faulty):
    def step(self, action: Any) -> Any:
        return ctypes.string_at(0)


# --- what happens to a good environment once in a while -----------------------------------------


class Once(Faulty):
    """Goes wrong at a late step, once in all processes that share a file.

    Args:
        what: ``hang`` or ``segfault``.
        done: the file that says that it has happened.
    """

    def __init__(self, what: str, done: str) -> None:
        self.what, self.done, self.steps = what, Path(done), 0

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps == 300 and not self.done.exists():
            self.done.write_text("")
            if self.what == "segfault":
                ctypes.string_at(0)
            re.match("(a+)+b", "a" * 64)
        return super().step(action)


class Slow(Faulty):
    """A step takes some seconds."""

    def __init__(self, seconds: float = 1_000.0) -> None:
        self.seconds = seconds

    def step(self, action: Any) -> Any:
        time.sleep(self.seconds)
        return super().step(action)


class HangingScore(Faulty):
    """Hangs in the episodes that choose between policies and score them: their seeds are higher."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None and seed >= 1 << 30:
            re.match("(a+)+b", "a" * 64)
        return super().reset(seed=seed)


class KilledScore(Faulty):
    """Its process is killed in an episode that scores a policy, once in all that share a file.

    Args:
        done: the file that says that it has happened.
    """

    def __init__(self, done: str = "/dev/null") -> None:
        self.done = Path(done)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None and seed >= 1 << 30 and not self.done.exists():
            self.done.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().reset(seed=seed)


class TakenPort(Faulty):
    """Can be made wherever it is checked, and nowhere in a process of Ray's."""

    def __init__(self) -> None:
        if "RAY_RAYLET_PID" in os.environ:
            raise Taken("port 7000\nis taken")


class Taken(Exception):
    """Of a name that names no error."""


class Huge(Faulty):
    """Rewards near the largest that 32 bits hold."""

    def reward(self) -> Any:
        return 1e30


class Chatty(Faulty):
    """Prints 100 kB a step.

    Args:
        log: a file that gets the path of what it prints to, once it has printed a lot.
    """

    def __init__(self, log: str) -> None:
        self.log, self.steps = Path(log), 0

    def step(self, action: Any) -> Any:
        self.steps += 1
        sys.stdout.write("chatter " * 12_500 + "\n")
        if self.steps == 500:
            self.log.write_text(str(Path("/proc/self/fd/1").readlink()))
        return super().step(action)


class Leaves(Faulty):
    """Ends its process, or tries to, at a step.

    Args:
        how: ``exit``, ``_exit``, ``interrupt`` or ``never``.
        at: steps before.
        when: the seed from which on it does so; the seeds of scores are higher than training's.
        log: a file that gets the id of a process that it starts with its first episode, in a
            session of its own.
        once: a file that says that it has happened: it happens once in all that share it.
    """

    def __init__(self, how: str, at: int = 1, when: int = 0, log: str = "", once: str = "") -> None:
        self.how, self.at, self.when, self.once, self.log = how, at, when, once, log
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.seed = seed
        if self.log:
            started = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            with Path(self.log).open("a") as file:
                file.write(f"{started.pid}\n")
            self.log = ""
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.seed >= self.when and self.steps == self.at and not self.is_over():
            if self.how == "exit":
                sys.exit(3)
            if self.how == "_exit":
                os._exit(3)
            if self.how == "interrupt":
                raise KeyboardInterrupt
        return super().step(action)

    def is_over(self) -> bool:
        if not self.once:
            return False
        over = Path(self.once).exists()
        Path(self.once).write_text("")
        return over


# --- what happens while policies are scored: their seeds are higher than training's ---------------


class Score(Faulty):
    """Goes wrong in the episodes that score a policy, and in no other.

    Args:
        what: ``raises``, ``hangs``, ``crashes``, ``exits``, ``nan`` (the reward), ``blind`` (the
            observation) or ``close`` (raises when it is closed, then and always).
        when: every how many seeds.
        once: a folder with a file for each seed with which it has happened: it does not again.
        selection: whether in the episodes that choose between policies too.
        seeds: with these alone.
    """

    def __init__(
        self,
        what: str = "",
        when: int = 1,
        once: str = "",
        selection: bool = True,
        seeds: Sequence[int] = (),
    ) -> None:
        self.what, self.when, self.once, self.seeds = what, when, once, seeds
        self.first = 1 << (30 if selection else 31)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.wrong = bool(seed is not None and seed >= self.first and seed % self.when == 0)
        self.wrong = self.wrong and (not self.seeds or seed in self.seeds)
        if self.wrong and self.once:
            done = Path(self.once) / str(seed)
            self.wrong = not done.exists()
            done.write_text("")
        return super().reset(seed=seed)

    def see(self) -> Any:
        seen = super().see()
        return seen * np.nan if self.what == "blind" and self.wrong and self.count == 5 else seen

    def reward(self) -> Any:
        return float("nan") if self.what == "nan" and self.wrong else 1.0

    def step(self, action: Any) -> Any:
        if self.wrong and self.count == 4:
            if self.what == "raises":
                raise RuntimeError("the licence has expired")
            if self.what == "hangs":
                re.match("(a+)+b", "a" * 64)
            if self.what == "crashes":
                ctypes.string_at(0)
            if self.what == "exits":
                sys.exit(3)
        return super().step(action)

    def close(self) -> None:
        if self.what == "close":
            raise RuntimeError("it was never open")


class Counted(Faulty):
    """Of which only so many copies may live at a time, in all processes of the machine.

    Args:
        folder: holds a file for each copy that lives, and ``log``: a line for each that was made.
        most: copies that may live.
    """

    def __init__(self, folder: str, most: int) -> None:
        self.folder, self.most = Path(folder), most
        with FileLock(self.folder / ".lock"):
            live = [path for path in self.folder.glob("*.copy") if self._lives(path)]
            with (self.folder / "log").open("a") as log:
                log.write(f"made beside {len(live)} in {os.getpid()}\n")
            if len(live) >= most:
                raise RuntimeError(f"{len(live)} copies live already")
            self.file = self.folder / f"{os.getpid()}-{uuid.uuid4().hex}.copy"
            self.file.write_text("")

    @staticmethod
    def _lives(path: Path) -> bool:
        """A process that was killed has closed nothing, and holds nothing."""
        if psutil.pid_exists(int(path.name.partition("-")[0])):
            return True
        path.unlink(missing_ok=True)
        return False

    def close(self) -> None:
        self.file.unlink(missing_ok=True)


class Hungry(Faulty):
    """Takes what memory there is, once in all processes.

    Args:
        mark: a file that says that it has.
    """

    def __init__(self, mark: str) -> None:
        self.mark, self.steps = Path(mark), 0

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps == 100 and not self.mark.exists():
            self.mark.touch()
            devour()
        return super().step(action)
