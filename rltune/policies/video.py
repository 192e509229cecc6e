"""Shows the best policy in a video or in a window."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes.util import find_library
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

import gymnasium as gym
import numpy as np

from rltune import envs
from rltune.algorithms.policy import Policy
from rltune.errors import BadInput, MachineError
from rltune.policies import output_files
from rltune.policies.evaluation import best_policy, evaluation_seeds
from rltune.processes.watchdog import Boundary
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec

_H264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
#: Options of ffmpeg by suffix. H.264 needs even sides. A GIF needs a palette, taken from its first
#: frames because ffmpeg keeps all frames of the palette in memory.
FORMATS = {
    ".mp4": [*_H264, "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"],
    ".gif": ["-vf", "split[a][b];[a]trim=end_frame=50,palettegen[p];[b][p]paletteuse"],
}
#: Frames per second of an environment without a rate.
FPS = 30
#: Frames per second above which browsers slow a GIF down; frames are skipped instead.
MAX_GIF_FPS = 50
#: Without a display, pygame renders to memory with SDL, and MuJoCo with one of these libraries.
HEADLESS = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
OFFSCREEN = {"egl": "EGL", "osmesa": "OSMesa"}


@dataclass(frozen=True)
class Episode:
    """One whole episode that was shown.

    Attributes:
        seed: seed of the environment.
        env_steps: length in steps.
        episode_return: undiscounted return.
    """

    seed: int
    env_steps: int
    episode_return: float

    def to_dict(self) -> dict[str, Any]:
        """Returns a dict for JSON."""
        return asdict(self)


def record(
    folder: RunFolder,
    path: Path,
    episodes: int = 1,
    seed: int | None = None,
    fps: int | None = None,
) -> Iterator[Episode]:
    """Records a video of a run's best policy on evaluation seeds; yields each episode.

    Args:
        path: .mp4 or .gif file; complete after the last episode.
        seed: seed for drawing evaluation seeds; None for those of the run's score.
        fps: environment steps per second; None for the environment's own rate.

    Raises:
        BadInput: the run has no policy, or its environment cannot be drawn.
        MachineError: the storage failed.
    """
    _draw_to_memory()
    spec, policy = folder.spec, best_policy(folder)
    with _opened(spec, policy, "rgb_array") as env:
        seeds = _seeds(folder, seed, episodes)
        fps = fps or env.metadata.get("render_fps") or FPS
        every = math.ceil(fps / MAX_GIF_FPS) if path.suffix.lower() == ".gif" else 1
        with (
            output_files.whole(path) as part,
            video_file(part, _picture(env, seeds[0]), fps / every) as add,
        ):
            for one in seeds:
                yield _episode(env, policy, one, lambda: add(env.render()), every)


@contextmanager
def video_file(
    path: Path, picture: np.ndarray, fps: float
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yields a function that adds images (height, width, 3), uint8, of equal size to a video.

    Raises:
        MachineError: with ffmpeg's message.
    """
    height, width, _ = picture.shape
    # From the extra `video`, which a window does not need.
    ffmpeg_path = import_module("imageio_ffmpeg").get_ffmpeg_exe()
    pictures = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps)]
    words = [
        "-loglevel",
        "error",
        *pictures,
        "-i",
        "-",
        *FORMATS[path.suffix.lower()],
        f"file:{path}",
    ]
    ffmpeg = subprocess.Popen(
        [ffmpeg_path, "-y", *words],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is handled by this process
    )
    stdin = cast(IO[bytes], ffmpeg.stdin)

    def add(picture: np.ndarray) -> None:
        stdin.write(np.ascontiguousarray(picture, dtype=np.uint8).tobytes())

    try:
        with suppress(BrokenPipeError):  # ffmpeg has ended with a message
            yield add
        said = ffmpeg.communicate()[1].decode(errors="replace").strip()
    finally:
        ffmpeg.kill()
        ffmpeg.wait()
    if ffmpeg.returncode:
        raise MachineError(f"{path.name} cannot be written: ffmpeg: {said}")


def watch(folder: RunFolder, episodes: int = 1, seed: int | None = None) -> Iterator[Episode]:
    """Shows a run's best policy in a window, at the environment's own rate.

    Raises:
        BadInput: there is no display, the run has no policy, or its environment cannot be drawn.
    """
    if not (_has_display() or os.environ.get("SDL_VIDEODRIVER")):
        raise BadInput("there is no display to open a window on. Make a film: `video='out.mp4'`")
    spec, policy = folder.spec, best_policy(folder)
    with _opened(spec, policy, "human") as env:
        for one in _seeds(folder, seed, episodes):
            yield _episode(env, policy, one, lambda: None)


def _seeds(folder: RunFolder, seed: int | None, count: int) -> list[int]:
    """Returns seeds, first those of the run's score, so that scored episodes are shown."""
    if seed is not None:
        return evaluation_seeds(seed, count)
    summary = folder.summary
    scored = summary.evaluation.seeds if summary and summary.evaluation else []
    drawn = evaluation_seeds(folder.spec.seed, count)
    return list(dict.fromkeys([*scored, *drawn]))[:count]


def _episode(
    env: gym.Env[Any, Any], policy: Policy, seed: int, show: Callable[[], None], every: int = 1
) -> Episode:
    with Boundary(KeyboardInterrupt):
        obs, _ = env.reset(seed=seed)
    show()
    env_steps, episode_return, over = 0, 0.0, False
    while not over:
        with Boundary(KeyboardInterrupt):
            obs, reward, terminated, truncated, _ = env.step(policy.act(obs[None])[0])
        env_steps, episode_return = env_steps + 1, episode_return + float(reward)
        over = terminated or truncated
        if over or env_steps % every == 0:
            show()
    return Episode(seed, env_steps, episode_return)


# --- drawing ----------------------------------------------------------------------------------


def _has_display() -> bool:
    names = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform != "linux" or any(os.environ.get(name) for name in names)


def _draw_to_memory() -> None:
    """Sets the variables for rendering without a display, unless the user has set them."""
    if _has_display():
        return
    installed = [name for name, library in OFFSCREEN.items() if find_library(library)]
    for name, value in {**HEADLESS, "MUJOCO_GL": (*installed, "egl")[0]}.items():
        os.environ.setdefault(name, value)


@contextmanager
def _opened(spec: RunSpec, policy: Policy, mode: str) -> Iterator[gym.Env[Any, Any]]:
    """Opens the environment of a run in a render mode of gymnasium.

    Raises:
        BadInput: it lacks the mode, or a rendering library is not installed.
    """
    env = envs.make(spec.env_id, spec.env_options.env_args)
    envs.close(env)
    modes = env.metadata.get("render_modes", [])
    if not {mode, "rgb_array"} & set(modes):
        raise BadInput(
            f"{spec.env_id} cannot be shown: it draws no pictures (render_mode 'rgb_array'), "
            f"only {', '.join(modes) or 'nothing'}"
        )
    try:
        args = {**spec.env_options.env_args, "render_mode": mode}
        env = envs.make(spec.env_id, args, policy.frame_stack, policy.form)
        env.reset()
        env.render()
    except Exception as error:
        raise BadInput(
            f"{spec.env_id} cannot be drawn here: {type(error).__name__}: {error}. {_mend(error)}"
        ) from error
    try:
        yield env
    finally:
        envs.close(env)


def _mend(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError | gym.error.DependencyNotInstalled):
        return "What draws: pip install 'rltune[video]'."
    if "mujoco" in sys.modules:
        return (
            "Without a display MuJoCo draws with EGL (Debian, Ubuntu: apt-get install libegl1 "
            "libgl1) or with OSMesa (libosmesa6), chosen by MUJOCO_GL=egl or osmesa."
        )
    return "Look at its render()."


def _picture(env: gym.Env[Any, Any], seed: int) -> np.ndarray:
    env.reset(seed=seed)
    picture: np.ndarray = env.render()
    return picture
