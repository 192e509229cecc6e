"""TensorBoard curves over environment steps: the metrics and each tuned setting."""

from __future__ import annotations

from torch.utils.tensorboard import SummaryWriter

from rltune.runs.folder import RunFolder
from rltune.runs.records import Report
from rltune.spec import RunSpec


class TensorBoardWriter:
    """One event file a trial."""

    def __init__(self, spec: RunSpec, folder: RunFolder) -> None:
        self._spec = spec
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}

    def draw(self, row: Report) -> None:
        """A point on each curve of a trial."""
        writer = self._writers.get(row.trial) or self._open(row)
        for name, mean in row.measured.items():
            writer.add_scalar(name, mean, row.env_steps)
        for name, value in row.settings.items():
            parameter = self._spec.space[name]
            # An option of a choice is drawn as its place in the list.
            height = value if isinstance(value, int | float) else parameter.domain().index(value)
            writer.add_scalar(f"hyperparameters/{name}", height, row.env_steps)
        writer.flush()

    def _open(self, row: Report) -> SummaryWriter:
        # What an earlier part of the run drew past this step was lost: TensorBoard hides it.
        writer = SummaryWriter(
            str(self._folder.path / "trials" / row.trial), purge_step=row.env_steps
        )
        self._writers[row.trial] = writer
        return writer

    def go_back(self, trial: str) -> None:
        """The trial repeats steps that were drawn already."""
        if writer := self._writers.pop(trial, None):
            writer.close()

    def close(self) -> None:
        """Closes every event file."""
        for writer in self._writers.values():
            writer.close()
