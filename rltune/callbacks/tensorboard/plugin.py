"""TensorBoard's HPARAMS page over runs of rltune, also while they train.

TensorBoard keeps the first settings that it has read of a run, and the columns of the first run
alone. ``rltune board`` reads both again for each view of the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tensorboard import default
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import backend_context, metadata
from tensorboard.plugins.hparams.api_pb2 import Experiment, HParamInfo
from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from rltune.callbacks.tensorboard.hparams import read_settings

#: By run, what its HPARAMS are, as TensorBoard passes it on: bytes by tag.
Contents = dict[str, dict[str, bytes]]


def plugins() -> list[Any]:
    """TensorBoard's own plugins, HPARAMS replaced."""
    return [SettingsPlugin if each is HParamsPlugin else each for each in default.get_plugins()]


class SettingsPlugin(HParamsPlugin):
    """The HPARAMS page, with the settings that are in effect now."""

    def __init__(self, context: base_plugin.TBContext) -> None:
        super().__init__(context)
        self._context = CurrentSettings(context)


class CurrentSettings(backend_context.Context):
    """Reads the settings of runs from their files."""

    def hparams_metadata(self, *args: Any, **kwargs: Any) -> Contents:
        """Settings of every run, and in each of them the columns of all."""
        found: Contents = super().hparams_metadata(*args, **kwargs)
        logdir = Path(self.tb_context.logdir)
        now = {run: {**tags, **read_settings(logdir / run)} for run, tags in found.items()}
        contents = [tags[metadata.EXPERIMENT_TAG] for tags in now.values() if _has_columns(tags)]
        if not contents:
            return now
        columns = merged(map(metadata.parse_experiment_plugin_data, contents))
        described = metadata.create_summary_metadata(HParamsPluginData(experiment=columns))
        both = {metadata.EXPERIMENT_TAG: described.plugin_data.content}
        return {run: {**tags, **both} if _has_columns(tags) else tags for run, tags in now.items()}


def _has_columns(tags: Mapping[str, bytes]) -> bool:
    return metadata.EXPERIMENT_TAG in tags


def merged(experiments: Iterable[Experiment]) -> Experiment:
    """The columns of several searches: each setting and each metric once, in order."""
    settings: dict[str, HParamInfo] = {}
    metrics: dict[str, Any] = {}
    for experiment in experiments:
        for column in experiment.hparam_infos:
            settings[column.name] = _both(settings.get(column.name), column)
        for metric in experiment.metric_infos:
            metrics.setdefault(metric.name.tag, metric)
    return Experiment(hparam_infos=settings.values(), metric_infos=metrics.values())


def _both(first: HParamInfo | None, second: HParamInfo) -> HParamInfo:
    """A column whose domain holds those of two searches."""
    if first is None or first == second:
        return second
    if first.type != second.type or first.WhichOneof("domain") != second.WhichOneof("domain"):
        return HParamInfo(name=second.name, type=second.type)
    wider = HParamInfo()
    wider.CopyFrom(first)
    if first.HasField("domain_interval"):
        one, other = first.domain_interval, second.domain_interval
        wider.domain_interval.min_value = min(one.min_value, other.min_value)
        wider.domain_interval.max_value = max(one.max_value, other.max_value)
    else:
        known = list(first.domain_discrete.values)
        new = [value for value in second.domain_discrete.values if value not in known]
        wider.domain_discrete.values.extend(new)
    return wider
