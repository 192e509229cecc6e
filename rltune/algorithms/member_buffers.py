"""Which replay buffer each trial of a group continues with, and whose lies in which seat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltune.engine.population import member_replay
from rltune.engine.population.learner import BatchLearner
from rltune.engine.population.off_policy import OffPolicyLearner
from rltune.errors import BadCheckpoint
from rltune.runs.checkpoints import REPLAY_FILE, holds, verify


@dataclass(frozen=True)
class Wanted:
    """The buffer that a trial continues with.

    Attributes:
        seat: the trial's.
        kind: its "own", its "donor"'s, or an "empty" one.
        checkpoint: the folder that the buffer was saved with; None where there is none.
        may_lack: whether a buffer that is damaged or of another layout leaves an empty one; else
            it is an error.
    """

    seat: int
    kind: str
    checkpoint: str | None
    may_lack: bool = False


class MemberBuffers:
    """The replay buffers of a group; of an algorithm without buffers nothing.

    Args:
        learner: of the group's members.
        algo: name of the algorithm.
    """

    def __init__(self, learner: BatchLearner, algo: str) -> None:
        self._learner = learner if isinstance(learner, OffPolicyLearner) else None
        self._algo = algo
        #: The checkpoint that each seat's buffer is that of.
        self._checkpoints: dict[int, Path] = {}

    def save(self, seat: int, folder: Path, whole: bool) -> None:
        """Remembers that a checkpoint was written of a seat.

        Args:
            whole: whether it holds the buffer too (``save_buffer``).
        """
        if self._learner is None:
            return
        self._checkpoints[seat] = folder.resolve()
        if whole:
            member_replay.save(self._learner.replay, seat, folder / REPLAY_FILE)

    def written(self) -> None:
        """Forgets whose buffers they are: training adds steps to every seat's, taken or not."""
        self._checkpoints.clear()

    def place(
        self, wanted: Sequence[Wanted], seats: Sequence[int]
    ) -> dict[int, dict[str, str] | Exception]:
        """Gives trials the buffers they continue with.

        A buffer of their own that is gone leaves an empty one, never another trial's.

        Args:
            seats: all that are taken now, by new trials too.

        Returns:
            What the report says of each, by seat: ``replay`` and, of an empty one that was not
            asked for, ``why``. An exception where a buffer that must be there is damaged, or of
            another layout.
        """
        if self._learner is None:
            return {}
        replay = self._learner.replay
        sources = {each.seat: self._source(each) for each in wanted}
        # What is copied from a seat that is overwritten too is read before.
        taken = {
            source: replay.take(source)
            for seat, source in sources.items()
            if source is not None and source != seat and source in seats
        }
        found: dict[int, dict[str, str] | Exception] = {}
        for each in wanted:
            source, why = sources[each.seat], None
            if source is not None and source != each.seat:
                replay.place(each.seat, taken[source] if source in taken else replay.take(source))
            elif source is None:
                try:
                    why = self._load(each) if each.kind != "empty" else None
                except (BadCheckpoint, ValueError) as error:
                    found[each.seat] = error
                    continue
                if why or each.kind == "empty":
                    replay.empty(each.seat)
            told = {"replay": "empty" if why else each.kind}
            found[each.seat] = {**told, "why": why} if why else told
        for seat in seats:
            self._checkpoints.pop(seat, None)
        return found

    def _source(self, wanted: Wanted) -> int | None:
        """The seat that holds a buffer; the trial's own, where it does."""
        if wanted.checkpoint is None:
            return None
        path = Path(wanted.checkpoint).resolve()
        holding = [seat for seat, held in self._checkpoints.items() if held == path]
        return wanted.seat if wanted.seat in holding else next(iter(holding), None)

    def _load(self, wanted: Wanted) -> str | None:
        """Loads a buffer. Returns why there is none."""
        assert self._learner is not None
        if wanted.checkpoint is None:
            return "it has no checkpoint of its own"
        folder = Path(wanted.checkpoint)
        try:
            if not holds(folder, REPLAY_FILE):
                return f"{folder} holds none (save_buffer)"
            verify(folder, self._algo, only=(REPLAY_FILE,))
            member_replay.load(self._learner.replay, wanted.seat, folder / REPLAY_FILE)
        except (BadCheckpoint, ValueError) as error:
            if not wanted.may_lack:
                raise
            return str(error)
        return None

    def memory(self, seat: int) -> dict[str, Any]:
        """What a trial remembers beside its weights."""
        return {} if self._learner is None else self._learner.memory(seat)
