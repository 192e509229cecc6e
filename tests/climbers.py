"""A trainable without randomness or clock, and ones that go wrong.

Ray's processes import this module: it has nothing in it that takes seconds to load.
"""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path
from typing import Any

from devours import devour
from ray import tune

from rltune.engine.episodes import REWARD
from rltune.schedulers.base import TIME

REPORT = 250


class Climber(tune.Trainable):  # type: ignore[misc]
    """Gains return at a rate that its settings decide; the best ones drift."""

    def setup(self, config: dict[str, Any]) -> None:
        self.env_steps, self.level = 0, 0.0
        self.asked = config

    def step(self) -> dict[str, Any]:
        best = -3.5 + self.env_steps / 10_000
        self.level += math.exp(-((math.log10(self.asked["lr"]) - best) ** 2))
        self.env_steps += REPORT
        return {REWARD: self.level, TIME: self.env_steps}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"env_steps": self.env_steps, "level": self.level}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        assert checkpoint is not None
        self.env_steps, self.level = checkpoint["env_steps"], checkpoint["level"]


class Killed(Climber):
    """The process of one trial is killed once."""

    def step(self) -> dict[str, Any]:
        mark = Path(self.logdir).parent / "killed"
        if self.trial_id == "t01" and self.env_steps == 1_500 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class Failing(Climber):
    """One trial can never get past a step."""

    def step(self) -> dict[str, Any]:
        if self.trial_id == "t01" and self.env_steps == 1_500:
            raise RuntimeError("the motor burnt out (env step 1500)")
        return super().step()


class AllFailing(Climber):
    """No trial gets anywhere."""

    def step(self) -> dict[str, Any]:
        raise RuntimeError("no such robot")


class Diverging(Climber):
    """One trial diverges, until it takes a healthy one's weights."""

    def step(self) -> dict[str, Any]:
        row = super().step()
        exploit = self.member.exploit
        rescued = exploit is not None and exploit.env_steps >= 1_500
        if self.trial_id == "t00" and row[TIME] >= 1_500 and not rescued:
            row[REWARD] = math.nan
        return row


class Nameless(Climber):
    """Reports its return under another name."""

    def step(self) -> dict[str, Any]:
        row = super().step()
        return {"score": row.pop(REWARD), **row}


class Slow(Climber):
    """Takes a time that something can happen in."""

    def step(self) -> dict[str, Any]:
        time.sleep(0.1)
        return super().step()


class Together(Slow):
    """Its trials wait in their first step for a file named ``go`` beside their folders."""

    def step(self) -> dict[str, Any]:
        if not self.env_steps:
            _wait_for(Path(self._storage.trial_fs_path).parent / "go")
        return super().step()


class KilledIdle(Climber):
    """The last of three trials kills the process of the first, which waits for it."""

    def step(self) -> dict[str, Any]:
        folder = Path(self.logdir).parent
        (folder / f"started-{self.trial_id}").touch()
        if self.trial_id == "t00" and self.env_steps == 750:
            # A trial whose process has not started would be given this one.
            _wait_for(folder / "started-t01", folder / "started-t02")
        first, killed = folder / "first", folder / "killed"
        if self.trial_id == "t02" and self.env_steps == 750 and not killed.exists():
            _wait_for(first)
            time.sleep(1)  # the trial pauses
            killed.touch()
            os.kill(int(first.read_text()), signal.SIGKILL)
        return super().step()

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        if self.trial_id == "t00" and self.env_steps == 1_000:
            (Path(self.logdir).parent / "first").write_text(str(os.getpid()))
        return super().save_checkpoint(checkpoint_dir)


def _wait_for(*marks: Path) -> None:
    while not all(mark.exists() for mark in marks):
        time.sleep(0.1)


class Peaking(Climber):
    """Is at its best after some steps, and worse from then on."""

    def step(self) -> dict[str, Any]:
        row = super().step()
        return {**row, REWARD: -abs(self.env_steps - 1_500)}


class Hungry(Climber):
    """One trial takes what memory there is, each time that it gets so far."""

    def step(self) -> dict[str, Any]:
        if self.trial_id == "t01" and self.env_steps == 1_500:
            devour()
        return super().step()
