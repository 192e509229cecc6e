"""A trial in several environments: an algorithm for each of them, all with the same settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune import PlacementGroupFactory
from ray.tune.result import TRIAL_INFO

from rltune import algorithms
from rltune.algorithms.trial_storage import TrialStorageMixin, timed
from rltune.catalog.algorithms import algorithm
from rltune.engine.episodes import LENGTH, PREFIX, REWARD
from rltune.engine.metric_names import LEARNER, NORMALIZED
from rltune.environments import SEVERAL, Environment
from rltune.errors import AuditError
from rltune.processes.descendants import end_descendants
from rltune.processes.tracebacks import headlined
from rltune.runs.checkpoints import MANIFEST, RECORD_FILE, seal, verify
from rltune.runs.records import CheckpointRecord, Diverged, Exploit
from rltune.schedulers.base import TIME


class SeveralTrial(TrialStorageMixin, tune.Trainable):
    """Trains one policy in each environment and reports the mean of their normalised scores.

    The environments take turns: each report follows one iteration of each algorithm, an
    :class:`rltune.algorithms.rl_trainable.RLTrainable`. The clock counts the steps in all of them.
    A checkpoint has a folder for each environment, with a checkpoint of its algorithm.

    Its config holds the settings, the seed and, under :data:`rltune.environments.SEVERAL`, what is
    no setting: ``algo``, the names of the ``settings`` and of those that are ``searched``, the
    ``environments``, ``configs``, the part of each algorithm's config that is its own,
    ``pauses`` on the trial's clock, ``bundles`` and ``placement``.
    """

    trial_id: str
    _storage: Any
    _trial_info: Any

    @classmethod
    def default_resource_request(cls, config: Mapping[str, Any]) -> PlacementGroupFactory:
        """What the run sets aside for a trial."""
        own = config[SEVERAL]
        return PlacementGroupFactory(own["bundles"], strategy=own["placement"])

    @headlined
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def setup(self, config: dict[str, Any]) -> None:
        """Builds the algorithm of each environment."""
        self.tidy_storage()
        own = config[SEVERAL]
        made = map(Environment.from_dict, own["environments"])
        self._environments = {environment.name: environment for environment in made}
        self._searched = list(own["searched"])
        self._pauses = tuple(own["pauses"])
        self._algo: str = own["algo"]
        kind = getattr(algorithms, algorithm(self._algo).class_name)
        self._parts = {name: kind(config=part) for name, part in self._configs(config)}

    def _configs(self, config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The config of each environment's algorithm."""
        own, exploit = config[SEVERAL], config.get("exploit")
        self._exploit = Exploit.from_dict(exploit) if exploit else None
        names = {*own["settings"], "seed"}
        shared = {name: value for name, value in config.items() if name in names}
        if self._storage is not None:
            shared["crash_folder"] = self._storage.trial_fs_path
        for place, (name, part) in enumerate(own["configs"].items()):
            shared["exploit"] = exploit and self._exploit_in(exploit, name, place)
            yield name, {**part, **shared, TRIAL_INFO: self._trial_info}

    def _exploit_in(self, exploit: Mapping[str, Any], name: str, place: int) -> dict[str, Any]:
        """An exploit as the algorithm of one environment has it."""
        steps, rest = divmod(exploit["env_steps"], len(self._environments))
        own = exploit.get("own_checkpoint")
        return {
            **exploit,
            "env_steps": steps + (place < rest),
            "own_checkpoint": own and f"{own}/{name}",
        }

    @property
    def _clock(self) -> int:
        return sum(part.env_steps for part in self._parts.values())

    @property
    def _diverged(self) -> Diverged | None:
        """What ended the trial: a number of any of its algorithms that is not finite."""
        for name, part in self._parts.items():
            if part.diverged is not None:
                found = part.diverged
                return Diverged(self._clock, f"{name}/{found['what']}", found["value"])
        return None

    @timed
    @headlined
    def step(self) -> dict[str, Any]:
        """One report.

        Raises:
            AuditError: a searched setting acts in one environment and not in another.
        """
        results: dict[str, dict[str, Any]] = {}
        before = self._clock
        for name, part in self._parts.items():
            trains = self._diverged is None
            results[name] = part.train() if trains else _idle(part)
        spent = sum(one["env_steps_this_iter"] for one in results.values())
        if any(before < at <= self._clock for at in self._pauses):
            spent += sum(part.end_interval() for part in self._parts.values())
        settings = self._settings({name: one["settings"] for name, one in results.items()})
        metrics = self._metrics()
        told = {
            "restored": _restore_in(results),
            "diverged": self._diverged and self._diverged.to_dict(),
            "events": self._incidents(results),
        }
        return {
            **metrics,
            "metrics": metrics,
            TIME: self._clock,
            "timesteps_total": self._clock,
            "env_steps_this_iter": spent,
            "settings": settings,
            LEARNER: {
                f"{name}/{key}": value
                for name, one in results.items()
                for key, value in one.get(LEARNER, {}).items()
            },
            **{key: value for key, value in told.items() if value},
        }

    def _metrics(self) -> dict[str, float]:
        """Means over the newest episodes, ``<environment>/<metric>``, and the normalised score.

        That is absent until an episode has ended in every environment.
        """
        found: dict[str, float] = {}
        scores = []
        for name, part in self._parts.items():
            means = part.window.means()
            known = {key: value for key, value in means.items() if _is_metric(key)}
            if REWARD in known:
                scores.append(self._environments[name].normalized(known[REWARD]))
                known[NORMALIZED] = scores[-1]
            found |= {f"{name}/{key}": value for key, value in known.items()}
        if len(scores) == len(self._parts):
            found[NORMALIZED] = float(np.mean(scores))
        return found

    def _settings(self, by_name: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """The settings, read back in every environment."""
        first, *others = by_name.items()
        for name, settings in others:
            for key in self._searched:
                if settings.get(key) != first[1].get(key):
                    raise AuditError(
                        f"{self.trial_id}: {key} is {first[1].get(key)!r} in {first[0]} and "
                        f"{settings.get(key)!r} in {name}"
                    )
        return dict(first[1])

    def _incidents(self, results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [
            {**event, "env_steps": self._clock, "error": f"{name}: {event['error']}"}
            for name, one in results.items()
            for event in one.get("events", ())
        ]

    @headlined
    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """A checkpoint of every algorithm in a folder of its own, a record, and the manifest."""
        folder = Path(checkpoint_dir)
        returns: list[float] = []
        for name, part in self._parts.items():
            (folder / name).mkdir()
            part.save_checkpoint(str(folder / name))
            returns += map(self._environments[name].normalized, part.window.returns)
        record = CheckpointRecord(
            trial_id=self.trial_id,
            env_steps=self._clock,
            seconds=self._time_total,
            diverged=self._diverged,
            training_iteration=self._iteration,
            window=sum(part.window.size for part in self._parts.values()),
            episode_returns=returns,
            metrics=self._metrics(),
            settings=next(iter(self._parts.values())).effective_settings(),
        )
        record.write(folder)
        seal(folder, self._algo)

    @headlined
    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Continues from a checkpoint, this trial's or a donor's, with this trial's settings.

        Raises:
            BadCheckpoint: it is not whole, or of other environments or another algorithm.
        """
        folder = Path(checkpoint_dir)
        parts = [f"{name}/{MANIFEST}" for name in self._parts]
        verify(folder, self._algo, only=(RECORD_FILE, *parts))
        for name, part in self._parts.items():
            part.load_checkpoint(str(folder / name))
        record = CheckpointRecord.read(folder)
        copied = self._exploit is not None and record.trial_id != self.trial_id
        self.seconds_from(record, self._exploit if copied else None)

    @headlined
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Becomes a new trial in this process."""
        self.tidy_storage()
        for name, part in self._configs(new_config):
            self._parts[name].reset(part)
        return True

    def cleanup(self) -> None:
        """Closes all environments, then ends what they have started in this process."""
        for part in self._parts.values():
            part.stop()
        if self._storage is not None:
            end_descendants()


def _is_metric(name: str) -> bool:
    return name in (REWARD, LENGTH) or name.startswith(PREFIX)


def _restore_in(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a restore came to, in every environment; empty where there was none."""
    found = {name: one["restored"] for name, one in results.items() if "restored" in one}
    if not found:
        return {}
    memory = {name: one["memory"] for name, one in found.items() if one["memory"]}
    steps = sum(one["env_steps"] for one in found.values())
    return {**next(iter(found.values())), "env_steps": steps, "memory": memory}


def _idle(part: Any) -> dict[str, Any]:
    """The report of an algorithm that does not train."""
    return {"env_steps_this_iter": 0, "settings": part.effective_settings()}
