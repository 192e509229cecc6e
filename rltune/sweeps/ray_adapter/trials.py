"""Makes Tune's trials, and reads and sets what their next start loads."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.train._internal.checkpoint_manager import _TrainingResult
from ray.tune import Checkpoint
from ray.tune.experiment import Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser

from rltune.schedulers.base import TIME
from rltune.sweeps.ray_adapter.losses import LossyTrial


@dataclass(frozen=True)
class Saved:
    """A checkpoint and the report that belongs to it."""

    path: Path
    report: Mapping[str, Any]


class TrialFactory:
    """Makes trials with a name and a folder of our choice.

    Args:
        experiment: what Tune hands to ``SearchAlgorithm.add_configurations``.
    """

    def __init__(self, experiment: Any) -> None:
        self._experiment = experiment.spec
        self._parser = _make_parser()

    def make(self, name: str, config: Mapping[str, Any]) -> Trial:
        """A new trial, whose folder bears its name, also where the folder is there already.

        Args:
            config: added to the configuration that all trials share.
        """
        experiment = copy.deepcopy(self._experiment)
        experiment["config"] = {**experiment["config"], **config}
        creators = ("trial_name_creator", "trial_dirname_creator")
        experiment |= dict.fromkeys(creators, lambda _trial: name)
        trial = _create_trial_from_spec(experiment, self._parser, trial_id=name)
        trial.__class__ = LossyTrial
        # Its folder may be there from before a resume; Tune would make another.
        trial.relative_logdir = trial.storage.trial_dir_name = name
        return trial


def restore(
    trial: Trial,
    failures: int,
    report: Mapping[str, Any],
    checkpoint_index: int,
    start: Path | None,
) -> None:
    """Brings a new trial to where one of the same name was before a resume.

    Args:
        failures: how often it has failed.
        report: iteration and clock as of its last checkpoint.
        checkpoint_index: number of its last checkpoint.
        start: what its next start loads.
    """
    trial.run_metadata.num_failures = failures
    trial.run_metadata.last_result = dict(report)
    trial.storage.current_checkpoint_index = checkpoint_index
    if start is not None:
        start_from(trial, start)


def last_saved(trial: Trial) -> Saved | None:
    """What the trial's next start loads; None for a start from nothing."""
    result = trial.run_metadata.checkpoint_manager.latest_checkpoint_result
    return None if result is None else Saved(Path(result.checkpoint.path), result.metrics)


def start_from(trial: Trial, path: Path | None) -> None:
    """Makes the trial's next start load a checkpoint, and count from its own last report.

    What it counts is its last result where it ends without another report.

    Args:
        path: None for a start from nothing.
    """
    metrics = {name: trial.last_result.get(name, 0) for name in ("training_iteration", TIME)}
    checkpoint = None if path is None else Checkpoint.from_directory(str(path))
    trial.run_metadata.checkpoint_manager._latest_checkpoint_result = (
        None if checkpoint is None else _TrainingResult(checkpoint=checkpoint, metrics=metrics)
    )
