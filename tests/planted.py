"""Code planted where a stranger could put it: run, each piece leaves its name in a folder."""

from __future__ import annotations

import pickle
from pathlib import Path

from rltune.runs import checkpoints
from rltune.runs.checkpoints import MANIFEST

#: Names under which RLlib and Tune look for pickles.
IN_CHECKPOINTS = (
    "class_and_ctor_args.pkl",
    "algorithm_state.pkl",
    "state.pkl",
    "learner_group/state.pkl",
    "learner_group/class_and_ctor_args.pkl",
)
IN_TRIALS = ("tuner.pkl", "trainable.pkl", "t00/params.pkl")
#: Installed modules that a file of the same name could stand before.
MODULES = ("torch", "ray", "numpy", "gymnasium", "rich", "typer", "onnx", "onnxruntime", "psutil")


class Touch:
    """Leaves a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.marker,)


class Traps:
    """Sets traps, and tells which of them went off.

    Args:
        folder: that they leave their marks in.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder

    @property
    def sprung(self) -> list[str]:
        """What was run."""
        return sorted(path.name for path in self._folder.iterdir())

    def pickled(self, path: Path, name: str = "") -> bytes:
        """A pickle that leaves a mark."""
        return pickle.dumps(Touch(self._folder / (name or path.name)))

    def module(self, path: Path, body: str = "") -> None:
        """A module that leaves a mark."""
        path.parent.mkdir(exist_ok=True)
        mark = self._folder / f"import {path.stem}"
        path.write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n{body}")

    def checkpoint(self, folder: Path, algo: str) -> None:
        """Pickles in a checkpoint, which is sealed again as anybody can."""
        for name in IN_CHECKPOINTS:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(self.pickled(folder / name))
        (folder / MANIFEST).unlink()
        checkpoints.seal(folder, algo)

    def run(self, folder: Path, algo: str) -> None:
        """All that a run folder can hold, beside what run.json names."""
        for record in [*folder.glob("trials/*/checkpoints/*/record.json"), *folder.glob("best/*/")]:
            self.checkpoint(record if record.is_dir() else record.parent, algo)
        for name in IN_TRIALS:
            (folder / "trials" / name).write_bytes(self.pickled(folder / name))
        hexed = self.pickled(folder / "experiment_state").hex()
        state = f'{{"_type": "CLOUDPICKLE_FALLBACK", "value": "{hexed}"}}'
        (folder / "trials/experiment_state-2026-01-01_00-00-00.json").write_text(state)
        self.module(folder / "sitecustomize.py")

    def here(self, folder: Path) -> None:
        """Modules in a folder that a command is started in."""
        for name in MODULES:
            self.module(folder / f"{name}.py")
