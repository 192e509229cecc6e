"""Decisions of a scheduler between the moment they are made and the moment they act."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rltune.runs.records import Decision


class OpenDecisions:
    """Keeps decisions until the first report after them shows what they came to.

    Args:
        written: lines of decisions.jsonl that an earlier part of the run wrote: a decision that
            was written before a kill, and its state was not, is made again and not written again.
    """

    def __init__(self, written: Iterable[Decision] = ()) -> None:
        self._open: dict[str, Decision] = {}
        self._written = {decision.key for decision in written}

    def add(self, decisions: Sequence[Decision]) -> None:
        """Takes in what a scheduler has decided."""
        self._open |= {decision.trial: decision for decision in decisions}

    def stopped(self, trial: str) -> list[Decision]:
        """The line of a trial that has ended because it was stopped; none for any other."""
        decision = self._open.get(trial)
        if decision is None or decision.kind != "stop":
            return []
        return self._close(decision)

    def failed(self, trial: str, error: str) -> list[Decision]:
        """The line of an exploit that a trial failed in: it never took effect."""
        decision = self._open.pop(trial, None)
        if decision is None or decision.kind != "exploit":
            return []
        return self._close(decision, error=error)

    def reported(
        self, trial: str, effective: Mapping[str, Any], restored: Mapping[str, Any]
    ) -> list[Decision]:
        """The line of what a report is the first one after: an exploit, a change, or a restore.

        Args:
            effective: the searched settings, read back from where they act.
            restored: what the trial says of a restore since its last report; empty for none.
        """
        memory = restored.get("memory") or {}
        decision = self._open.get(trial)
        if decision is not None and decision.kind != "stop":
            return self._close(decision, effective, memory)
        if not restored:
            return []
        asked = {name: restored["requested"].get(name) for name in effective}
        read_back = {name: restored["effective"].get(name) for name in effective}
        restore = Decision(
            kind="restore",
            env_steps=restored["env_steps"],
            trial=trial,
            donor=None,
            requested=asked,
            effective=read_back,
            memory=memory,
        )
        return [restore]

    def get_state(self) -> dict[str, Any]:
        """Exploits that wait for their effect, as JSON holds them; a stop is decided again."""
        exploits = [decision for decision in self._open.values() if decision.kind == "exploit"]
        known = [decision.to_dict() for decision in exploits]
        return {"open": [{k: v for k, v in body.items() if k != "effective"} for body in known]}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues where :meth:`get_state` was called."""
        waiting = [Decision.from_dict({**body, "effective": {}}) for body in state["open"]]
        self._open = {decision.trial: decision for decision in waiting}

    def _close(
        self,
        decision: Decision,
        effective: Mapping[str, Any] | None = None,
        memory: Mapping[str, Any] | None = None,
        error: str = "",
    ) -> list[Decision]:
        self._open.pop(decision.trial, None)
        if decision.key in self._written:
            return []
        self._written.add(decision.key)
        return [replace(decision, effective=effective or {}, memory=memory or {}, error=error)]
