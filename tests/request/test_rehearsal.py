"""What training would meet is met before anything starts, with its own exception."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import psutil
import pytest
from authors import Cards, Strict

from rltune.errors import BadInput
from rltune.request.rehearsal import rehearse
from rltune.request.resolve import make_spec

HERE = "request.test_rehearsal"


class Late(Strict):
    """Fails in some way that random steps of one copy do not meet.

    Args:
        what: what fails.
        folder: where copies leave their marks.
    """

    def __init__(self, what: str, folder: str = "") -> None:
        self.what, self.marks = what, Path(folder)
        if what == "third copy":
            self.mark = self.marks / f"{os.getpid()}-{id(self)}"
            self.mark.write_text("")
            if len(list(self.marks.iterdir())) > 2:
                raise OSError("port 4711 is taken")
        pictures = gym.spaces.Box(0, 255, (40, 40, 3), np.uint8)
        seen = pictures if what == "picture" else gym.spaces.Box(-1, 1, (2,), np.float32)
        super().__init__(seen, gym.spaces.Discrete(3))

    def step(self, action: Any) -> Any:
        answer = super().step(action)
        if self.what == "end" and self.count >= 10:
            raise KeyError("final score")
        if self.what == "exit" and self.count >= 10:
            os._exit(7)
        return answer

    def close(self) -> None:
        if self.what == "third copy":
            self.mark.unlink(missing_ok=True)


def spec_of(what: str, tmp_path: Path, algo: str = "ppo", **settings: Any) -> Any:
    args = {"what": what, "folder": str(tmp_path)}
    return make_spec(
        algo, f"{HERE}:Late", env_args=args, settings=settings, storage=tmp_path / "runs"
    )


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("end", "KeyError: 'final score'"),
        ("third copy", "OSError: port 4711 is taken"),
        ("exit", "exit code 7"),
    ],
)
def test_it_is_refused_with_its_own_exception(what: str, said: str, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    with pytest.raises(BadInput) as refused:
        rehearse(spec_of(what, marks))
    assert said in str(refused.value)
    assert f"environment {HERE}:Late" in str(refused.value)
    assert Path(__file__).name in str(refused.value), "where it was raised"
    assert not (marks / "runs").exists()


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_trainable_environments_pass(algo: str, tmp_path: Path) -> None:
    def opened() -> int:
        """Files that are open after it, and were not before."""
        before = _open_files()
        for what in ("nothing", "picture"):
            rehearse(spec_of(what, tmp_path, algo, num_envs_per_env_runner=2))
        rehearse(make_spec(algo, "authors:Cards", storage=tmp_path))
        return _open_files() - before

    # What else this process does opens some at times; a rehearsal would leave some each time.
    assert any(opened() <= 1 for _ in range(3))
    assert Cards  # it raises where an action is illegal


def _open_files() -> int:
    gc.collect()
    count: int = psutil.Process().num_fds()
    return count


def test_simulators_and_short_names_pass(tmp_path: Path) -> None:
    rehearse(make_spec("ppo", "acrobot", simulator="envpool", storage=tmp_path))
    rehearse(make_spec("sac", "pendulum", storage=tmp_path))
