"""Rows of TensorBoard's HPARAMS page: the settings in effect beside the newest metrics.

TensorBoard keeps the first settings that it reads of a run. They are therefore in a file that is
read before all others and that is written again, whole, whenever a trial's settings change.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Value
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_BOOL,
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    Experiment,
    HParamInfo,
    Interval,
    MetricInfo,
    MetricName,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

from rltune.callbacks.tensorboard.event_file import PREFIX, encoded_file
from rltune.space import Parameter
from rltune.space.choices import Choice
from rltune.spec import RunSpec

#: Name of the file: it comes first among the event files of a folder.
FILE = f"{PREFIX}.0000000000.settings"
#: Tag of the score on fresh seeds.
SCORE = "evaluation/mean"


def write_settings(folder: Path, spec: RunSpec, settings: Mapping[str, Any]) -> None:
    """Writes the row of a run, in place of the one before.

    Args:
        folder: of the run, as TensorBoard calls one curve.
        settings: values of the searched settings.
    """
    kinds = {name: _kind(parameter) for name, parameter in spec.space.items() if name in settings}
    row = SessionStartInfo(
        hparams={name: _value(settings[name], kind) for name, kind in kinds.items()}
    )
    summaries = [
        _summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=_experiment(spec))),
        _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=row)),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".settings.{os.getpid()}"
    temporary.write_bytes(encoded_file(summaries))
    temporary.replace(folder / FILE)


def read_settings(folder: Path) -> dict[str, bytes]:
    """The row of a run and its columns, by TensorBoard's tag; nothing where there is none."""
    if not (folder / FILE).exists():
        return {}
    return {
        value.tag: value.metadata.plugin_data.content
        for event in EventFileLoader(str(folder / FILE)).Load()
        for value in event.summary.value
    }


def _experiment(spec: RunSpec) -> Experiment:
    """The columns: the searched settings, the tuned metrics, and the score on fresh seeds."""
    metrics = [goal.name for goal in spec.goals] + ([SCORE] if spec.plays else [])
    return Experiment(
        hparam_infos=[_column(name, parameter) for name, parameter in spec.space.items()],
        metric_infos=[MetricInfo(name=MetricName(tag=tag)) for tag in metrics],
    )


def _column(name: str, parameter: Parameter) -> HParamInfo:
    kind = _kind(parameter)
    if isinstance(parameter, Choice):
        options = [_value(option, kind) for option in parameter.options]
        domain = {"domain_discrete": ListValue(values=options)}
    else:
        low, high = sorted(map(float, parameter.ends()))
        domain = {"domain_interval": Interval(min_value=low, max_value=high)}
    return HParamInfo(name=name, type=kind, differs=True, **domain)


def _kind(parameter: Parameter) -> int:
    """TensorBoard's type of a setting's values."""
    options = parameter.options if isinstance(parameter, Choice) else ()
    if options and all(isinstance(option, bool) for option in options):
        kind: int = DATA_TYPE_BOOL
    elif all(isinstance(o, int | float) and not isinstance(o, bool) for o in options):
        kind = DATA_TYPE_FLOAT64
    else:
        kind = DATA_TYPE_STRING
    return kind


def _value(value: Any, kind: int) -> Value:
    if kind == DATA_TYPE_STRING or value is None:
        return Value(string_value=str(value))
    if kind == DATA_TYPE_BOOL:
        return Value(bool_value=value)
    return Value(number_value=value)


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    described = metadata.create_summary_metadata(content)
    value = Summary.Value(tag=tag, metadata=described, tensor=metadata.NULL_TENSOR)
    return Summary(value=[value])
