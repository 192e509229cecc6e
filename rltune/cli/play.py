"""``rltune play RUN``."""

from __future__ import annotations

import logging
from pathlib import Path

from rltune.cli import console
from rltune.cli.extras import need
from rltune.cli.opened import open_run
from rltune.errors import BadInput
from rltune.policies import output_files
from rltune.policies.output_files import VIDEO_SUFFIXES
from rltune.reports.numbers import number


def run(
    *,
    run_path: Path,
    env: str | None,
    video: Path | None,
    episodes: int,
    seed: int | None,
    fps: int | None,
    json: bool,
    trust: bool,
) -> None:
    """Shows a run's best policy, and prints the return of each episode as it ends."""
    folder = open_run(run_path, trust)
    if video is not None:
        need("video", "imageio_ffmpeg")
        output_files.check("--video", video, VIDEO_SUFFIXES, overwrite=True)
    elif fps is not None:
        raise BadInput("--fps is of a video: add --video out.mp4")
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    from rltune.policies.several import in_one  # RLlib's networks take seconds to import
    from rltune.policies.video import record, watch

    folder = in_one(folder, env)
    films = watch(folder, episodes, seed)
    if video is not None:
        films = record(folder, video, episodes, seed, fps)
    out, shown = console.output(json), []
    for one in films:
        shown.append(one)
        out.print(
            f"return {number(one.episode_return)} in {number(one.env_steps)} steps of "
            f"{folder.spec.env_id}, seed {one.seed}",
            soft_wrap=True,
        )
    if video is not None:
        out.print(f"video: {video}", soft_wrap=True)
    if json:
        console.print_json(
            {"video": video and str(video), "episodes": [one.to_dict() for one in shown]}
        )
