"""Trials that run a plain function, or a class trainable of Tune's."""

from __future__ import annotations

import copy
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from ray import tune
from ray.tune import PlacementGroupFactory
from ray.tune.result import RESULT_DUPLICATE, SHOULD_CHECKPOINT

from rltune.algorithms import tune_session
from rltune.algorithms.trial_storage import TrialStorageMixin, timed
from rltune.engine.divergence import Divergence
from rltune.engine.metric_names import EVERYTHING
from rltune.envs import places
from rltune.errors import BadCheckpoint
from rltune.processes.tracebacks import headlined
from rltune.request.functions import OWN, is_algorithm
from rltune.runs.checkpoints import STATE_FILE, check_pickles, is_data, seal, verify
from rltune.runs.records import CheckpointRecord, Exploit
from rltune.schedulers.base import TIME
from rltune.space import nested, with_derived
from rltune.tasks.member import Member
from rltune.tasks.session import Reported, Session, as_json, get_checkpoint, report

#: What a checkpoint's folder of the user's own files is called.
FILES = "files"
#: Folder of a trial's, for copies of what its function reports.
SCRATCH = "scratch"


class MemberMixin(TrialStorageMixin):
    """Mixed into a class trainable: its reports carry clock and settings, checkpoints are sealed.

    ``setup``, ``step``, ``save_checkpoint``, ``load_checkpoint`` and ``cleanup`` of the class act
    as in Tune, its ``config`` holds the settings and a ``seed``. ``reset_config`` of the class is
    not used: a process becomes another trial by ``cleanup`` and ``setup``. A checkpoint is a dict
    that is JSON, or files; files may be pickles, and are signed. They are in a folder of their own,
    where no name of theirs is one of rltune's.
    """

    trial_id: str
    member: Member

    @classmethod
    def default_resource_request(cls, config: Mapping[str, Any]) -> PlacementGroupFactory:
        """What the run sets aside for a trial."""
        own = config[OWN]
        return PlacementGroupFactory(own["bundles"], strategy=own["placement"])

    @headlined
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def setup(self, config: dict[str, Any]) -> None:
        """Sets up the user's class with the settings and the seed."""
        self.tidy_storage()
        own, exploit = config[OWN], config.get("exploit")
        seed = config["seed"]
        settings = {name: config[name] for name in own["settings"]}
        settings = with_derived(settings, own["derived"], seed)
        self.member = Member(
            own["algo"],
            own["metrics"],
            settings,
            None if exploit is None else Exploit.from_dict(exploit),
            own["saved_every"],
            own["log_all"],
        )
        super().setup({**nested(copy.deepcopy(settings)), "seed": seed})  # type: ignore[misc]

    @timed
    @headlined
    def step(self) -> dict[str, Any]:
        """One report."""
        try:
            result: dict[str, Any] = super().step()  # type: ignore[misc]
        except Divergence as found:
            return self.member.ended(found)
        if not isinstance(result, dict):
            raise TypeError(f"step returned {result!r}: it returns a dict of metrics")
        if RESULT_DUPLICATE not in result:
            row = self.member.reported(result)
            if self.member.log_all:
                row[EVERYTHING] = getattr(self, "rllib_result", {})
            return row
        self.count_from(self.member.clock)
        return result

    @headlined
    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The user's state or files, a record, and the manifest."""
        folder, member = Path(checkpoint_dir), self.member
        (folder / FILES).mkdir(exist_ok=True)
        state = super().save_checkpoint(str(folder / FILES))  # type: ignore[misc]
        if isinstance(state, dict):
            (folder / STATE_FILE).write_text(as_json(state))
        record = CheckpointRecord(
            trial_id=self.trial_id,
            env_steps=member.clock,
            seconds=self._time_total,
            diverged=member.diverged,
            lifetime={TIME: member.counted},
            window=0,
            episode_returns=[],
            metrics=member.metrics,
            settings=member.settings,
        )
        record.write(folder)
        written = any(file.is_file() for file in (folder / FILES).rglob("*"))
        seal(folder, member.algo, signed=written)

    @headlined
    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Continues from a checkpoint, this trial's or a donor's, with this trial's settings.

        Raises:
            BadCheckpoint: it is not whole, or holds files that this user did not write.
        """
        folder, member = Path(checkpoint_dir), self.member
        verify(folder, member.algo)
        if not is_data(folder):
            check_pickles(folder)
        record = CheckpointRecord.read(folder)
        state = folder / STATE_FILE
        load = super().load_checkpoint  # type: ignore[misc]
        load(json.loads(state.read_text()) if state.exists() else str(folder / FILES))
        copied = member.exploit is not None and record.trial_id != self.trial_id
        member.clock, member.counted = record.env_steps, int(record.lifetime[TIME])
        if copied and member.exploit is not None:
            member.clock = member.exploit.env_steps
        self.seconds_from(record, member.exploit if copied else None)
        member.diverged = record.diverged
        # What a donor reported is no outcome of these settings: they may train nothing more.
        member.metrics = {} if copied else record.metrics

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
    _storage: Any

    def setup(self, config: dict[str, Any]) -> None:
        """Prepares the function; it starts with the first report that is asked for."""
        tune_session.answer(report, get_checkpoint)
        self._config = config
        self._session: Session = self._started_from(None)
        self._last: Reported | None = None

    def _started_from(self, checkpoint: Any) -> Session:
        alone = Path(tempfile.gettempdir(), f"rltune-{os.getpid()}")  # outside of a sweep
        scratch = alone if self._storage is None else Path(self._storage.trial_fs_path, SCRATCH)
        return Session(places.find(self.place), self._config, scratch, checkpoint)

    def step(self) -> dict[str, Any]:
        """The function's next report."""
        reported = self._session.next_report()
        if reported is None:
            if self._last is None:
                raise RuntimeError(
                    f"{self.place} returned without a report: call rltune.report(metrics)"
                )
            return {RESULT_DUPLICATE: True, "done": True}
        self._last = reported
        return {**reported.metrics, SHOULD_CHECKPOINT: reported.checkpoint is not None}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any] | None:
        """What the function reported last."""
        kept = None if self._last is None else self._last.checkpoint
        if isinstance(kept, Path):
            shutil.copytree(kept, checkpoint_dir, copy_function=_linked, dirs_exist_ok=True)
            return None
        return {"state": None if kept is None else json.loads(kept)}

    def load_checkpoint(self, checkpoint: dict[str, Any] | str) -> None:
        """Starts the function again, from a checkpoint.

        Raises:
            BadCheckpoint: the function reported none.
        """
        state = Path(checkpoint) if isinstance(checkpoint, str) else checkpoint["state"]
        if state is None:
            raise BadCheckpoint(
                f"{self.place} cannot continue: its last report had no checkpoint. Give one with "
                "each report, rltune.report(metrics, checkpoint={...}), and start from "
                "rltune.get_checkpoint()"
            )
        self._session.end()
        self._session = self._started_from(state)
        # It may return at once: it was done, or nearly.
        self._last = Reported({}, state if isinstance(state, Path) else json.dumps(state))

    def cleanup(self) -> None:
        """Ends the function."""
        self._session.end()


def _linked(source: str, target: str) -> str:
    """Copies a file that never changes: as a link, where the file system has them."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
    return target


def trainable_of(place: str) -> type:
    """The trainable of a function or a class that is found by its import path."""
    found = places.find(place)
    if is_algorithm(found):
        found = import_module("rltune.algorithms.stock").trial_of(found)
    if isinstance(found, type):
        return type(found.__name__, (MemberMixin, found), {})
    return type(FunctionTrial.__name__, (MemberMixin, FunctionTrial), {"place": place})
