"""``rltune board RUN...``."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tensorboard import program

from rltune.callbacks.tensorboard.plugin import plugins
from rltune.cli import console
from rltune.errors import MachineError
from rltune.runs.folder import RunFolder

HOST = "127.0.0.1"  # TensorBoard has no authentication


def run(*, run_paths: list[Path], port: int) -> None:
    """Serves TensorBoard over runs until interrupted."""
    runs = {folder.path: folder for folder in map(RunFolder.open, run_paths)}
    folders = list(runs)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    # It warns of points that are hidden after a resume: they are meant to be.
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    with logdir(folders) as path:
        board = program.TensorBoard(plugins())
        options = ["--host", HOST, "--port", str(port), "--load_fast", "false"]
        board.configure(argv=["tensorboard", "--logdir", str(path), *options])
        try:
            url = board.launch()
        except program.TensorBoardServerException as error:
            raise MachineError(
                f"{error}. Choose another with --port, 0 for any free one."
            ) from error
        console.output().print(f"TensorBoard at {url} (Ctrl-C ends it)", soft_wrap=True)
        _follow([folder for folder in runs.values() if folder.remote is not None])


def _follow(stored: Sequence[RunFolder]) -> None:
    """Waits for Ctrl-C; fetches meanwhile what is new of runs in a store."""
    while stored:
        time.sleep(1.0)
        for folder in stored:
            with suppress(MachineError):  # it may answer again
                folder.refresh()
    signal.pause()


@contextmanager
def logdir(folders: Sequence[Path]) -> Iterator[Path]:
    """A folder in which TensorBoard finds runs by names that tell them apart.

    Of one run, trials are called ``t00``, of several ``<run>/t00``.
    """
    if len(folders) == 1:
        yield folders[0] / "trials"
        return
    common = Path(os.path.commonpath([folder.parent for folder in folders]))
    unique = len({folder.name for folder in folders}) == len(folders)
    with TemporaryDirectory(prefix="rltune-board-") as links:
        for folder in folders:
            link = Path(links, folder.name if unique else folder.relative_to(common))
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder / "trials")
        yield Path(links)
