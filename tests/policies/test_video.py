"""What is filmed is what was scored, whole and at the right pace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from conftest import environment
from images import SHADE
from trained import trained

from rltune.errors import BadInput, MachineError
from rltune.policies.episodes import play
from rltune.policies.evaluation import best_policy, evaluation_seeds, summarise
from rltune.policies.video import record, video_file, watch
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import Summary

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("cartpole"), "ppo", "cartpole")


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """40 steps an episode; each step's picture is lighter by SHADE."""
    return trained(tmp_path_factory.mktemp("clock"), "ppo", "images:Clock-v0", num_epochs=1)


def _frames(path: Path) -> tuple[float, np.ndarray]:
    """The frame rate of a film, and its pictures (N, height, width, 3)."""
    reader = imageio_ffmpeg.read_frames(path, output_params=["-fps_mode", "passthrough"])
    about = next(reader)
    width, height = about["size"]
    shape = (height, width, 3)
    pictures = [np.frombuffer(each, np.uint8).reshape(shape) for each in reader]
    return about["fps"], np.stack(pictures)


def test_an_mp4_shows_every_step_of_the_scored_episodes(
    cartpole: RunFolder, tmp_path: Path
) -> None:
    seeds = evaluation_seeds(0, 5)
    scored_on = {"best": None, "evaluation": summarise([0.0] * 5, seeds).to_dict(), "trials": []}
    spent = {"env_steps": 1, "wall_seconds": 1.0, "stop_reason": "steps"}
    cartpole.write_summary(Summary.from_dict({**scored_on, **spent}))
    shown = list(record(cartpole, tmp_path / "a.mp4", episodes=2))
    assert [one.seed for one in shown] == seeds[:2]
    scored = play(best_policy(cartpole), cartpole.spec, seeds)
    assert [one.episode_return for one in shown] == scored[:2]
    fps, pictures = _frames(tmp_path / "a.mp4")
    assert fps == 50
    assert pictures.shape == (sum(one.env_steps + 1 for one in shown), 400, 600, 3)
    assert (pictures[0] < 128).any(), "the cart is black"
    assert (pictures.max(axis=(1, 2, 3)) > 200).all(), "on white"
    moved = np.abs(pictures[1:].astype(int) - pictures[:-1]).max(axis=(1, 2, 3))
    assert (moved > 1).mean() > 0.9
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_seeds_and_frame_rate_can_be_chosen(cartpole: RunFolder, tmp_path: Path) -> None:
    (one,) = record(cartpole, tmp_path / "a.mp4", seed=7, fps=20)
    assert one.seed == evaluation_seeds(7, 1)[0]
    fps, pictures = _frames(tmp_path / "a.mp4")
    assert (fps, len(pictures)) == (20, one.env_steps + 1)


def test_an_mp4_of_odd_sides_is_padded(clock: RunFolder, tmp_path: Path) -> None:
    list(record(clock, tmp_path / "a.mp4"))
    fps, pictures = _frames(tmp_path / "a.mp4")
    assert (fps, pictures.shape) == (120, (41, 52, 82, 3))
    shades = pictures[:, :50, :80].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(shades, SHADE * np.arange(41), atol=3)


def test_a_fast_gif_skips_frames_and_ends_with_the_last(clock: RunFolder, tmp_path: Path) -> None:
    list(record(clock, tmp_path / "a.GIF"))
    _, pictures = _frames(tmp_path / "a.GIF")
    assert pictures.shape[1:] == (51, 81, 3)
    # 120 steps a second are too many for a browser: each third, 40 a second.
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(tmp_path / "a.GIF")
    assert (frames, seconds) == (15, pytest.approx(15 / 40, abs=0.03))
    shades = pictures.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(shades, SHADE * np.array([*range(0, 40, 3), 40]), atol=3)


def test_an_unfinished_film_is_deleted(clock: RunFolder, tmp_path: Path) -> None:
    film_of = record(clock, tmp_path / "a.mp4", episodes=3)
    next(film_of)
    deadline = time.monotonic() + 20
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)  # ffmpeg is on its way
    assert [file.suffix for file in tmp_path.iterdir()] == [".mp4"]
    film_of.close()
    assert list(tmp_path.iterdir()) == []

    failing = trained(
        tmp_path / "runs", "ppo", "images:Clock-v0", num_epochs=1, env_args={"fails_at": 9}
    )
    (tmp_path / "b.mp4").write_text("of yesterday")
    with pytest.raises(RuntimeError, match="boom"):
        list(record(failing, tmp_path / "b.mp4"))
    assert [file.name for file in tmp_path.glob("*.mp4")] == ["b.mp4"]
    assert (tmp_path / "b.mp4").read_text() == "of yesterday"


def test_an_error_of_ffmpeg_is_quoted(tmp_path: Path) -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    path = tmp_path / "gone" / "a.mp4"

    def shoot() -> None:
        with video_file(path, picture, 30) as add:
            for _ in range(1_000):
                add(picture)

    with pytest.raises(MachineError, match="No such file"):
        shoot()


def test_an_environment_that_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    blind = trained(tmp_path, "ppo", "images:Blind-v0", num_epochs=1)
    with pytest.raises(BadInput, match=r"draws no pictures.*only ansi"):
        list(record(blind, tmp_path / "a.mp4"))
    empty = RunFolder.create(make_spec("ppo", "cartpole", storage=tmp_path, name="empty"))
    with pytest.raises(BadInput, match="has no policy yet"):
        list(record(empty, tmp_path / "a.mp4"))
    assert list(tmp_path.glob("*.mp4")) == []


def test_a_window_needs_a_display(cartpole: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadInput, match=r"no display.*`video='out\.mp4'`"):
        list(watch(cartpole))


def test_a_window_shows_the_same_episodes(
    cartpole: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SDL's own display without a screen: pygame opens its window there."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    (seen,) = watch(cartpole, seed=7)
    (filmed,) = record(cartpole, tmp_path / "a.mp4", seed=7)
    assert seen == filmed


WINDOW = """
import sys
sys.modules["imageio_ffmpeg"] = None
from rltune.cli import main
main(["play", *sys.argv[1:]])
"""


def test_a_window_does_without_the_video_extra(cartpole: RunFolder, tmp_path: Path) -> None:
    """Where imageio-ffmpeg cannot be imported: of the extra, a video alone needs it."""
    play = [sys.executable, "-c", WINDOW, str(cartpole.path)]
    shown, filmed = (
        subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**environment(), "SDL_VIDEODRIVER": "dummy"},
        )
        for words in (play, [*play, "--video", "a.mp4"])
    )
    assert shown.returncode == 0, shown.stderr
    assert "of CartPole-v1, seed" in shown.stdout
    assert filmed.returncode == 2
    assert "pip install 'rltune[video]'" in filmed.stderr


MUJOCO = """
import json, sys
from pathlib import Path
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import Summary
from rltune.policies.video import record
print(json.dumps([one.env_steps for one in record(RunFolder(sys.argv[1]), Path(sys.argv[2]))]))
"""


@pytest.mark.slow
def test_mujoco_draws_without_a_display(tmp_path: Path) -> None:
    """In a process of its own: which library draws is chosen once."""
    run = trained(tmp_path, "ppo", "InvertedPendulum-v5", num_epochs=1)
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM")
    done = subprocess.run(
        [sys.executable, "-c", MUJOCO, str(run.path), str(tmp_path / "a.mp4")],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in environment().items() if name not in hidden},
    )
    if done.returncode and not _has_opengl():
        assert "apt-get install libegl1" in done.stderr
        pytest.skip("no OpenGL library is installed")
    assert done.returncode == 0, done.stderr
    _, pictures = _frames(tmp_path / "a.mp4")
    assert pictures.shape[1:] == (480, 480, 3)
    assert len(pictures) == json.loads(done.stdout.splitlines()[-1])[0] + 1
    assert pictures.std() > 5


def _has_opengl() -> bool:
    from ctypes.util import find_library

    return os.name == "posix" and any(find_library(name) for name in ("EGL", "OSMesa"))
