"""Trials that run a plain function, or a class trainable of Tune's."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ray import tune
from ray.tune import PlacementGroupFactory
from ray.tune.result import RESULT_DUPLICATE, SHOULD_CHECKPOINT

from rltune.algorithms.trial_storage import TrialStorageMixin
from rltune.envs import places
from rltune.errors import BadCheckpoint
from rltune.processes.tracebacks import headlined
from rltune.runs.checkpoints import DATA, STATE_FILE, check_pickles, is_data, seal, verify
from rltune.runs.records import CheckpointRecord, Diverged, Exploit
from rltune.schedulers.base import TIME
from rltune.space import config_of
from rltune.spec import FUNCTION
from rltune.tasks.function import OWN, RESERVED
from rltune.tasks.session import Session


@dataclass
class Member:
    """What rltune keeps of a trial beside the user's own trainable.

    Attributes:
        metric: the name of what is tuned.
        settings: those that the trial runs at.
        exploit: the last one of the trial; None where it had none.
        saved_every: what the clock advances between two checkpoints; 0 where the scheduler saves.
        clock: of the trial, which an exploit does not change.
        counted: what the user's code counts: it comes with a donor's checkpoint.
        metrics: of the last report.
        diverged: set once the metric is not finite.
    """

    metric: str
    settings: Mapping[str, Any]
    exploit: Exploit | None
    saved_every: int = 0
    clock: int = 0
    counted: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    diverged: Diverged | None = None

    def reported(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """A report as a sweep reads it, from what the user's code reports.

        Raises:
            ValueError: a name is rltune's own, or the clock does not advance.
        """
        if wrong := sorted(RESERVED & result.keys()):
            raise ValueError(f"{', '.join(wrong)}: rltune reports that itself; use another name")
        before, self.counted = self.counted, result.get(TIME, self.counted + 1)
        if not isinstance(self.counted, int) or self.counted <= before:
            raise ValueError(f"{TIME} must be a whole number above {before}, got {self.counted!r}")
        self.clock += self.counted - before
        numbers = {name: _number(value) for name, value in result.items() if name != TIME}
        self.metrics = {
            name: number
            for name, number in numbers.items()
            if number is not None and math.isfinite(number)
        }
        tuned = numbers.get(self.metric)
        self.diverged = None
        if tuned is not None and not math.isfinite(tuned):
            self.diverged = Diverged(self.clock, self.metric, str(tuned))
        row = {
            **self.metrics,
            "metrics": dict(self.metrics),
            TIME: self.clock,
            "timesteps_total": self.clock,
            "env_steps_this_iter": self.counted - before,
            "settings": dict(self.settings),
        }
        if self.diverged is not None:
            row["diverged"] = self.diverged.to_dict()
        if result.get("done"):
            row["done"] = True
        if result.get(SHOULD_CHECKPOINT) or self._is_due(self.counted - before):
            row[SHOULD_CHECKPOINT] = True
        return row

    def _is_due(self, advanced: int) -> bool:
        """Whether an interval has ended within what the clock has just advanced."""
        every = self.saved_every
        return bool(every) and self.clock // every > (self.clock - advanced) // every


def _number(value: Any) -> float | None:
    value = value.item() if hasattr(value, "item") else value  # numpy's and torch's
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


class MemberMixin(TrialStorageMixin):
    """Mixed into a class trainable: its reports carry clock and settings, checkpoints are sealed.

    ``setup``, ``step``, ``save_checkpoint``, ``load_checkpoint`` and ``cleanup`` of the class act
    as in Tune, its ``config`` holds the settings and a ``seed``. ``reset_config`` of the class is
    not used: a process becomes another trial by ``cleanup`` and ``setup``. A checkpoint is a dict
    that is JSON, or files; files may be pickles, and are signed.
    """

    trial_id: str
    member: Member

    @classmethod
    def default_resource_request(cls, config: Mapping[str, Any]) -> PlacementGroupFactory:
        """What the run sets aside for a trial."""
        return PlacementGroupFactory([dict(config[OWN]["needs"])])

    @headlined
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def setup(self, config: dict[str, Any]) -> None:
        """Sets up the user's class with the settings and the seed."""
        self.tidy_storage()
        own, exploit = config[OWN], config.get("exploit")
        settings = {name: config[name] for name in own["settings"]}
        self.member = Member(
            own["metric"],
            settings,
            None if exploit is None else Exploit.from_dict(exploit),
            own["saved_every"],
        )
        seed = config["seed"]
        told = config_of(copy.deepcopy(settings), own["derived"], seed)
        super().setup({**told, "seed": seed})  # type: ignore[misc]

    @headlined
    def step(self) -> dict[str, Any]:
        """One report."""
        result: dict[str, Any] = super().step()  # type: ignore[misc]
        return result if RESULT_DUPLICATE in result else self.member.reported(result)

    @headlined
    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The user's state or files, a record, and the manifest."""
        folder, member = Path(checkpoint_dir), self.member
        state = super().save_checkpoint(checkpoint_dir)  # type: ignore[misc]
        if isinstance(state, dict):
            (folder / STATE_FILE).write_text(json.dumps(state))
        record = CheckpointRecord(
            trial_id=self.trial_id,
            env_steps=member.clock,
            diverged=member.diverged,
            lifetime={TIME: member.counted},
            window=0,
            episode_returns=[],
            metrics=member.metrics,
            settings=member.settings,
        )
        record.write(folder)
        others = [file for file in folder.rglob("*") if file.is_file() and file.name not in DATA]
        seal(folder, FUNCTION, signed=bool(others))

    @headlined
    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Continues from a checkpoint, this trial's or a donor's, with this trial's settings.

        Raises:
            BadCheckpoint: it is not whole, or holds files that this user did not write.
        """
        folder, member = Path(checkpoint_dir), self.member
        verify(folder, FUNCTION)
        if not is_data(folder):
            check_pickles(folder)
        record = CheckpointRecord.read(folder)
        state = folder / STATE_FILE
        load = super().load_checkpoint  # type: ignore[misc]
        load(json.loads(state.read_text()) if state.exists() else checkpoint_dir)
        copied = member.exploit is not None and record.trial_id != self.trial_id
        member.clock, member.counted = record.env_steps, int(record.lifetime[TIME])
        if copied and member.exploit is not None:
            member.clock = member.exploit.env_steps
        member.metrics, member.diverged = record.metrics, record.diverged

    @headlined
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Becomes a new trial in this process."""
        self.cleanup()  # type: ignore[attr-defined]
        self.setup(copy.deepcopy(new_config))
        return True


class FunctionTrial(tune.Trainable):  # type: ignore[misc]
    """Runs a plain function, see :class:`rltune.tasks.session.Session`.

    Attributes:
        place: the function, as ``module:name``.
    """

    place: ClassVar[str]

    def setup(self, config: dict[str, Any]) -> None:
        """Prepares the function; it starts with the first report that is asked for."""
        self._config = config
        self._session: Session = self._started_from(None)
        self._state = "null"
        self._reported = False

    def _started_from(self, state: Any) -> Session:
        return Session(places.find(self.place), self._config, state)

    def step(self) -> dict[str, Any]:
        """The function's next report."""
        report = self._session.next_report()
        if report is None:
            if not self._reported:
                raise RuntimeError(f"{self.place} returned without a report")
            return {RESULT_DUPLICATE: True, "done": True}
        self._reported = True
        metrics, self._state = report
        return metrics

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """The state of the last report."""
        return {"state": json.loads(self._state)}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Starts the function again, from a state.

        Raises:
            BadCheckpoint: the function reported none.
        """
        state = (checkpoint or {}).get("state")
        if state is None:
            raise BadCheckpoint(
                f"{self.place} cannot continue: it reported no state. Hand over what it continues "
                "from with each report: session.report(metrics, state={...})"
            )
        self._session.end()
        self._session = self._started_from(state)
        self._state, self._reported = json.dumps(state), True

    def cleanup(self) -> None:
        """Ends the function."""
        self._session.end()


def trainable_of(place: str) -> type:
    """The trainable of a function or a class trainable that is found by its import path."""
    found = places.find(place)
    if isinstance(found, type):
        return type(found.__name__, (MemberMixin, found), {})
    return type(FunctionTrial.__name__, (MemberMixin, FunctionTrial), {"place": place})
