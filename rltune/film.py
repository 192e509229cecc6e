"""Pictures into a video file, by the ffmpeg that imageio-ffmpeg brings along."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

from rltune.errors import MachineError

_H264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
#: How ffmpeg writes each kind of file. H.264 wants even sides; a GIF colours of its own, here those
#: of its first frames, since ffmpeg holds all of what it takes them from in memory.
FORMATS = {
    ".mp4": [*_H264, "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"],
    ".gif": ["-vf", "split[a][b];[a]trim=end_frame=50,palettegen[p];[b][p]paletteuse"],
}


@contextmanager
def film(path: Path, picture: np.ndarray, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Takes pictures (height, width, 3), bytes, of the size of the first, into a file.

    Raises:
        MachineError: in ffmpeg's words.
    """
    height, width, _ = picture.shape
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
        [get_ffmpeg_exe(), "-y", *words],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us
    )
    stdin = cast(IO[bytes], ffmpeg.stdin)

    def add(picture: np.ndarray) -> None:
        stdin.write(np.ascontiguousarray(picture, dtype=np.uint8).tobytes())

    try:
        with suppress(BrokenPipeError):  # it has ended, and says why
            yield add
        said = ffmpeg.communicate()[1].decode(errors="replace").strip()
    finally:
        ffmpeg.kill()
        ffmpeg.wait()
    if ffmpeg.returncode:
        raise MachineError(f"{path.name} cannot be written: ffmpeg: {said}")
