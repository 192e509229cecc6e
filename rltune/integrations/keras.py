"""Reports from ``model.fit`` of Keras 3, on any of its backends."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray import tune

from rltune.errors import unknown

try:
    import keras
except ModuleNotFoundError as error:
    missing = error.name or "keras"
    if missing == "keras":
        fix = "pip install 'rltune[keras]'"
    else:  # Keras is there, and its backend is not
        fix = f"pip install {missing}, or set the environment variable KERAS_BACKEND=torch"
    raise ModuleNotFoundError(f"No module named {missing!r}: {fix}", name=missing) from error

#: Files of a checkpoint: the whole model, as ``keras.saving.load_model`` opens it, and its age.
MODEL, EPOCHS = "model.keras", "epochs.json"


class ReportCallback(keras.callbacks.Callback):
    """Reports the logs of each epoch of ``model.fit``.

        model.fit(x, y, epochs=10, callbacks=[ReportCallback({"mean_accuracy": "accuracy"})])

    It works in functions that :func:`rltune.tune` runs, and in those that Tune itself runs.

    With ``checkpoint=True``, each report has the model as its checkpoint. Training that continues,
    after a failure, a resume, a pause or an exploit, begins with the checkpoint's weights and its
    state of the optimiser, but with the learning rate that the model was compiled with. The epochs
    that it has behind it are left out by ``initial_epoch``:

        callback = ReportCallback(checkpoint=True)
        model.fit(x, y, epochs=10, initial_epoch=callback.initial_epoch, callbacks=[callback])

    Attributes:
        initial_epoch: epochs behind the checkpoint that the trial continues from; 0 without one.
    """

    def __init__(
        self,
        metrics: str | Sequence[str] | Mapping[str, str] | None = None,
        *,
        checkpoint: bool = False,
    ) -> None:
        """A callback for one call of ``model.fit``.

        Args:
            metrics: what is reported: names of Keras' logs, or a dict of those by the names they
                are reported under, ``{"mean_accuracy": "accuracy"}``; None for every log.
            checkpoint: whether reports have the model as their checkpoint, and training continues
                from it.
        """
        super().__init__()
        if isinstance(metrics, str):
            metrics = [metrics]
        if metrics is not None and not isinstance(metrics, Mapping):
            metrics = {name: name for name in metrics}
        self._metrics = metrics
        self._checkpoint = checkpoint
        # Tune's, which rltune answers in its own trials.
        self._start: tune.Checkpoint | None = tune.get_checkpoint() if checkpoint else None
        self.initial_epoch = 0
        if self._start is not None:
            with self._start.as_directory() as folder:
                self.initial_epoch = int(json.loads((Path(folder) / EPOCHS).read_text()))

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Loads the checkpoint that the trial continues from.

        Raises:
            ValueError: the model is not built, or has other layers than the checkpoint.
        """
        if self._start is None:
            return
        model = self.model
        if not model.built:
            raise ValueError(
                "the model has no weights yet that a checkpoint could be loaded into: begin it "
                "with keras.Input(shape)"
            )
        optimizer = model.optimizer
        optimizer.build(model.trainable_variables)
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        with self._start.as_directory() as folder:
            model.load_weights(Path(folder) / MODEL)
        with suppress(TypeError, AttributeError):  # a schedule, which reads its place in it
            optimizer.learning_rate = rate
        self._start = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Reports the epoch.

        What is measured in validation is left out of epochs without one.

        Raises:
            ValueError: Keras logs no metric of a given name.
        """
        reported = self._reported(logs or {})
        if not reported:
            return
        if not self._checkpoint:
            tune.report(reported)
            return
        with tempfile.TemporaryDirectory() as folder:
            self.model.save(Path(folder) / MODEL)
            (Path(folder) / EPOCHS).write_text(json.dumps(epoch + 1))
            tune.report(reported, checkpoint=tune.Checkpoint.from_directory(folder))

    def _reported(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        if self._metrics is None:
            return dict(logs)
        for name in self._metrics.values():
            if name not in logs and not name.startswith("val_"):
                raise ValueError(str(unknown("log of Keras", name, logs)))
        return {ours: logs[name] for ours, name in self._metrics.items() if name in logs}
