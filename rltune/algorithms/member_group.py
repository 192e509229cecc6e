"""A group of trials that train as one batch in one process, each with checkpoints of its own."""

from __future__ import annotations

import gc
import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import ray
import torch

from rltune import algorithms, envs
from rltune.algorithms import heartbeat
from rltune.algorithms.audit import Reading, mismatches
from rltune.algorithms.batches import Table
from rltune.algorithms.groups import BATCHES, build, make_group
from rltune.algorithms.member_buffers import MemberBuffers, Wanted
from rltune.algorithms.member_files import read_member, write_member
from rltune.algorithms.member_seats import Arrival, Seat, Start
from rltune.algorithms.member_settings import MemberConfig
from rltune.algorithms.rl_trainable import no_denormals
from rltune.catalog.algorithms import algorithm
from rltune.catalog.batches import shape_of
from rltune.engine.gpu import device_for
from rltune.engine.metric_names import LEARNER, SECONDS
from rltune.engine.population.group import Group
from rltune.engine.rollout import MAX_RESTARTS
from rltune.errors import AuditError, EnvironmentFailed, RltuneError
from rltune.processes.turns import Turns
from rltune.processes.watchdog import Watchdog, watchdog
from rltune.runs.checkpoints import seal
from rltune.runs.records import CheckpointRecord, Diverged
from rltune.runs.remote.copy import wrote
from rltune.spec import moved_seed

T = TypeVar("T")
log = logging.getLogger("rltune")


def _tried(work: Callable[[], T]) -> T | Exception:
    """What some work returns, or why a checkpoint cannot be continued from."""
    try:
        return work()
    except (RltuneError, OSError, ValueError) as error:
        return error


class MemberGroup:
    """Trains trials of one shape, see :func:`rltune.catalog.batches.shape_of`.

    Args:
        algo: name of the algorithm.
        seats: trials that fit.
        reports: a folder; where an environment hangs or ends the process, a report is left in one
            of this actor's there. None in a user's own process.
    """

    def __init__(self, algo: str, seats: int, reports: str | None = None) -> None:
        self.algo = algo
        self._trainable = getattr(algorithms, algorithm(algo).class_name)
        self._batch = BATCHES[algo]
        self._size = seats
        self._seats: dict[int, Seat] = {}
        self._group: Group | None = None
        self._reports = reports
        if reports is not None:
            heartbeat.start()

    def train(
        self, arrivals: Sequence[Arrival], leavers: Sequence[int], seats: int | None = None
    ) -> dict[int, Any]:
        """Reports of those trials that are due next, by seat, after seats have changed.

        In place of a report an exception says that a trial's environments raise again and again, or
        that it cannot continue from its checkpoint: its seat is free.

        Args:
            seats: of a new group in place of this one, which nobody sits in any more. It has the
                shape of its first trial.
        """
        if seats is not None:
            self._renew(seats)
        self._leave(leavers)
        found: dict[int, Any] = self._arrive(arrivals) if arrivals else {}
        group = self._made
        began = time.perf_counter()
        extra: dict[int, int] = {}
        training = [number for number, seat in self._seats.items() if seat.diverged is None]
        due = [number for number, seat in self._seats.items() if seat.diverged is not None]
        if training:
            with no_denormals():
                due += group.train(self._base.min_sample_timesteps_per_iteration or 1, training)
                finished = [n for n in due if n in training and n not in group.gone]
                extra = group.finish_episodes([n for n in finished if self._may_pause(n)])
            self._buffers.written()
        for number, steps in extra.items():
            self._seats[number].extra = steps
        seconds = time.perf_counter() - began
        for number in training:
            self._seats[number].seconds += seconds
        diverged = group.diverged()
        numbers = group.learner.read()
        held = self._held()
        for number in sorted({*due, *(n for n in diverged if n in training)}):
            seat = self._seats[number]
            if number in group.sampler.failed:
                found[number] = self._failure(number, group.sampler.failed[number])
                continue
            seat.iteration += 1
            if number in diverged and seat.diverged is None:
                seat.diverged = diverged[number].record(int(group.env_steps[number]))
            result = self._result(number, seat, numbers, held)
            found[number] = result
        return found

    def _failure(self, number: int, error: Exception) -> EnvironmentFailed:
        """The failure of a trial, with the traceback of what its environment raised."""
        del self._seats[number]
        clock = int(self._made.env_steps[number])
        text = "".join(traceback.format_exception(error))
        return EnvironmentFailed(
            f"{text}\n{type(error).__name__}: {error} (at env step {clock}, after {MAX_RESTARTS} "
            "restarts without an episode that ended)"
        )

    def _result(
        self, number: int, seat: Seat, numbers: Mapping[str, Any], held: Mapping[str, Any]
    ) -> dict[str, Any]:
        group = self._made
        clock = int(group.env_steps[number])
        result: dict[str, Any] = dict(group.windows[number].means())
        told = {
            name: float(f"{rows[number]:.6g}")
            for name, rows in numbers.items()
            if name != "total_loss" and np.isfinite(rows[number])
        }
        result |= {
            LEARNER: told,
            "env_steps": clock,
            "timesteps_total": clock,
            "env_steps_this_iter": clock - seat.env_steps + seat.extra,
            "settings": {r.name: r.value for r in self._readings(number, held)},
            "training_iteration": seat.iteration,
            "time_total_s": seat.seconds,
            SECONDS: round(seat.seconds, 3),
            "time_this_iter_s": seat.seconds - seat.told,
        }
        result |= {
            name: value
            for name, value in {
                "restored": seat.restored,
                "diverged": seat.diverged,
                "events": group.sampler.take_events(number),
            }.items()
            if value
        }
        seat.restored, seat.env_steps, seat.told, seat.extra = None, clock, seat.seconds, 0
        return result

    def _may_pause(self, number: int) -> bool:
        """Whether a trial's report is one at which its scheduler may pause it."""
        seat, clock = self._seats[number], int(self._made.env_steps[number])
        return any(seat.env_steps < at <= clock for at in self._base.pauses)

    @property
    def _made(self) -> Group:
        assert self._group is not None
        return self._group

    def _config(self, number: int) -> MemberConfig:
        return MemberConfig(self._base, self._seats[number].config)

    # Seats -------------------------------------------------------------------------------------

    def _leave(self, leavers: Sequence[int]) -> None:
        """Frees seats. What they hold stays as it is, for others to copy."""
        for number in leavers:
            del self._seats[number]
            self._made.sampler.rest(number)
        if leavers:
            self._made.learner.stop(leavers)

    def _renew(self, seats: int) -> None:
        """Makes room for a group of another shape: its first trial makes it."""
        self._seats, self._size = {}, seats
        if self._group is None:
            return
        with self._watch:
            envs.close(self._group.sampler.env)
        if isinstance(self._watch, Watchdog):
            self._watch.close()
        self._group.learner.graphs.close()
        del self._group, self._buffers
        self._group = None
        gc.collect()  # the next one asks how much memory is free
        torch.cuda.empty_cache()

    def _arrive(self, arrivals: Sequence[Arrival]) -> dict[int, Any]:
        """Seats trials. Returns why some could not be, by seat."""
        if self._group is None:
            self._make(arrivals[0])
        if others := {each.trial for each in arrivals if self._shape(each) != self._common}:
            raise ValueError(f"{', '.join(sorted(others))}: of another shape than the batch")
        # Rows that several copy from are overwritten last: copies first, all at once.
        copied = [each for each in arrivals if each.copied_from not in (None, each.seat)]
        if copied:
            self._made.learner.copy_members(
                [each.copied_from for each in copied if each.copied_from is not None],
                [each.seat for each in copied],
            )
        for each in arrivals:
            self._seats[each.seat] = Seat(each.trial, each.config)
        configs = [
            MemberConfig(self._base, self._seats[n].config if n in self._seats else {})
            for n in range(self._size)
        ]
        self._made.set_hyperparameters(Table(self._made.learner.HYPERPARAMETERS, configs).at)
        starts: dict[int, Any] = {
            each.seat: _tried(partial(Start.of, each, self.algo)) for each in arrivals
        }
        buffers = self._buffers.place(
            [self._buffer(each) for each in starts.values() if isinstance(each, Start)],
            [each.seat for each in arrivals],
        )
        lost: dict[int, Any] = {}
        for each in arrivals:
            start, buffer = starts[each.seat], buffers.get(each.seat, {})
            if start is None:
                self._begin(each)
            elif isinstance(start, Start):
                start = _tried(partial(self._settle, start, buffer))
            if isinstance(start, Exception):
                del self._seats[each.seat]
                lost[each.seat] = RltuneError("".join(traceback.format_exception(start)))
        idle = [n for n in range(self._size) if n not in self._seats]
        for number in idle:
            self._made.sampler.rest(number)
        self._made.learner.stop([*idle, *(n for n, seat in self._seats.items() if seat.diverged)])
        return lost

    def _shape(self, arrival: Arrival) -> str:
        return shape_of(self.algo, {**vars(self._base), **arrival.config})

    def _make(self, first: Arrival) -> None:
        config = self._trainable.get_default_config().update_from_dict(
            {name: value for name, value in first.config.items() if name != "__trial_info__"}
        )
        config.validate()
        self._base = config
        self._common = self._shape(first)
        folder = None
        if self._reports is not None:
            folder = Path(self._reports) / ray.get_runtime_context().get_actor_id()
            folder.mkdir(parents=True, exist_ok=True)
        self._watch = watchdog(config.env_timeout, folder)
        turns = Turns(self._watch, folder, config.num_envs_per_env_runner)
        torch.set_num_threads(config.threads or 1)
        self._group, self._network = make_group(
            [config] * self._size,
            device_for(config.num_gpus_per_learner),
            watch=turns,
            turn=turns.turn,
        )
        self._template = build(self._network).state_dict()
        self._buffers = MemberBuffers(self._group.learner, self.algo)

    def _begin(self, arrival: Arrival) -> None:
        """Starts a trial from nothing."""
        group, number, seed = self._made, arrival.seat, int(arrival.config["seed"])
        torch.manual_seed(seed)
        group.settle(number, build(self._network).state_dict(), seed, 0)
        group.learner.start([number])
        self._batch.begin(group.learner, number, self._config(number))

    def _buffer(self, start: Start) -> Wanted:
        """The replay buffer that a trial continues with."""
        exploit, arrival = start.exploit, start.arrival
        if exploit is None:
            return Wanted(arrival.seat, "own", arrival.checkpoint)
        kind = getattr(self._config(arrival.seat), "exploit_buffer", "own")
        if kind == "own":
            return Wanted(arrival.seat, kind, exploit.own_checkpoint, may_lack=True)
        return Wanted(arrival.seat, kind, arrival.checkpoint if kind == "donor" else None)

    def _settle(self, start: Start, buffer: Mapping[str, str] | Exception) -> None:
        """Brings a seat to where its trial continues."""
        if isinstance(buffer, Exception):
            raise buffer
        arrival, record, exploit = start.arrival, start.record, start.exploit
        group, seat, number = self._made, self._seats[arrival.seat], arrival.seat
        if arrival.copied_from is None:
            read_member(group.learner, self._batch, number, start.folder)
        seat.env_steps = exploit.env_steps if exploit else record.env_steps
        seat.seconds = seat.told = exploit.seconds if exploit else record.seconds
        seat.iteration = arrival.iteration
        seat.diverged = record.diverged.to_dict() if record.diverged else None
        group.learner.start([number])
        seed = moved_seed(int(arrival.config["seed"]), seat.env_steps)
        group.restart(number, seed, seat.env_steps)
        group.windows[number].clear()
        group.windows[number].load(record.episodes)
        group.write_hyperparameters()
        if why := buffer.get("why"):
            log.warning("%s starts with an empty replay buffer: %s", seat.trial, why)
        donor = exploit.donor if exploit else None
        seat.restored = {
            "kind": "exploit" if donor else "restore",
            "env_steps": seat.env_steps,
            "donor": donor,
            **self._audit(number, donor),
            "memory": {**self._buffers.memory(number), **buffer},
        }

    def _held(self) -> dict[str, np.ndarray]:
        """The hyperparameters as the device holds them, each of shape (M,)."""
        hyper = self._made.learner.hyper
        return dict(zip(hyper.names, hyper.read(), strict=True))

    # Reading back --------------------------------------------------------------------------------

    def _readings(self, number: int, held: Mapping[str, Any]) -> list[Reading]:
        """The settings as the batch holds them, beside those of the trial's config."""
        own = {name: rows[number] for name, rows in held.items()}
        common = self._batch.settings(self._made.learner)
        return self._config(number).readings(self.algo, own, common)

    def _audit(self, number: int, donor: str | None) -> dict[str, Any]:
        """Settings requested and effective. Raises AuditError where they differ."""
        seat = self._seats[number]
        asked = self._config(number).requested(self.algo)
        readings = self._readings(number, self._held())
        if wrong := mismatches(self.algo, asked, readings, seat.env_steps):
            event = f"the exploit of {donor}" if donor else "a restore"
            raise AuditError(f"{seat.trial}: {'; '.join(wrong)} (after {event})")
        return {"requested": asked, "effective": {r.name: r.value for r in readings}}

    # Saving ------------------------------------------------------------------------------------

    def save(self, places: Mapping[int, str]) -> None:
        """Writes whole checkpoints of trials into folders, by seat."""
        learner, held = self._made.learner, self._held()
        for number, place in places.items():
            seat, window = self._seats[number], self._made.windows[number]
            folder = Path(place)
            folder.mkdir(parents=True, exist_ok=True)
            write_member(learner, self._batch, number, folder, self._template)
            self._buffers.save(number, folder, getattr(self._config(number), "save_buffer", False))
            record = CheckpointRecord(
                trial_id=seat.trial,
                env_steps=seat.env_steps,
                seconds=seat.seconds,
                diverged=Diverged.from_dict(seat.diverged) if seat.diverged else None,
                training_iteration=seat.iteration,
                window=window.size,
                episode_returns=window.returns,
                episode_lengths=[episode.length for episode in window.episodes],
                episode_infos=[episode.info for episode in window.episodes],
                settings={r.name: r.value for r in self._readings(number, held)},
            )
            record.write(folder)
            seal(folder, self.algo)
            wrote(folder)
