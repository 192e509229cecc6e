"""``rltune board RUN...``."""

from __future__ import annotations

import signal
from pathlib import Path

from tensorboard import program

from rltune.cli import console
from rltune.errors import MachineError
from rltune.runs.folder import RunFolder

HOST = "127.0.0.1"  # TensorBoard has no authentication


def run(*, run_paths: list[Path], port: int) -> None:
    """Serves TensorBoard over runs until interrupted."""
    folders = [RunFolder.open(path) for path in run_paths]
    logdir = ",".join(f"{folder.path.name}:{folder.path / 'trials'}" for folder in folders)
    where = (
        ["--logdir", str(folders[0].path / "trials")]
        if len(folders) == 1
        else ["--logdir_spec", logdir]
    )
    board = program.TensorBoard()
    options = ["--host", HOST, "--port", str(port), "--load_fast", "false"]
    board.configure(argv=["tensorboard", *where, *options])
    try:
        url = board.launch()
    except program.TensorBoardServerException as error:
        raise MachineError(f"{error}. Choose another with --port, 0 for any free one.") from error
    console.output().print(f"TensorBoard at {url} (Ctrl-C ends it)", soft_wrap=True)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.pause()
