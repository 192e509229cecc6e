"""TensorBoard curves over environment steps: the metrics and each tuned setting."""

from __future__ import annotations

from torch.utils.tensorboard import SummaryWriter

from rltune.callbacks.base import Callback, TrialFailed, TrialReported
from rltune.runs.folder import RunFolder
from rltune.runs.records import Report
from rltune.spec import RunSpec


class TensorBoardWriter(Callback):
    """Writes one event file for each trial."""

    def __init__(self, spec: RunSpec, folder: RunFolder) -> None:
        self._spec = spec
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}

    def on_result(self, event: TrialReported) -> None:
        """Adds a point to each curve of a trial."""
        report = event.report
        writer = self._writers.get(report.trial) or self._open(report)
        for name, mean in report.measured.items():
            writer.add_scalar(name, mean, report.env_steps)
        for name, value in report.settings.items():
            parameter = self._spec.space[name]
            # An option of a choice is drawn as its place in the list.
            height = value if isinstance(value, int | float) else parameter.domain().index(value)
            writer.add_scalar(f"hyperparameters/{name}", height, report.env_steps)
        writer.flush()

    def on_trial_error(self, event: TrialFailed) -> None:
        """Closes the curves of a trial that is tried again: it repeats steps already drawn."""
        if event.continues_from is not None and (writer := self._writers.pop(event.trial, None)):
            writer.close()

    def close(self) -> None:
        """Closes every event file."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _open(self, report: Report) -> SummaryWriter:
        # What an earlier part of the run drew past this step was lost: TensorBoard hides it.
        writer = SummaryWriter(
            str(self._folder.path / "trials" / report.trial), purge_step=report.env_steps
        )
        self._writers[report.trial] = writer
        return writer
