"""Tune's driver of a searcher: it names the trials, and is over when they are."""

from __future__ import annotations

from typing import Any

from ray.tune.search import SearchGenerator


class PatientSearch(SearchGenerator):
    """A search that is over when its trials are, and not when the last one is handed out.

    Tune ends a paused trial's process once the search is finished and nobody waits in line: then
    every exploit in a population as large as its slots starts a process (ray 2.60,
    TuneController._maybe_cache_trial_actor). It can go together with KeepsActors.
    """

    def __init__(self, searcher: Any) -> None:
        super().__init__(searcher)
        self._completed = 0
        self._given_up = False

    def is_finished(self) -> bool:
        """Whether every trial has been handed out and has ended, or Tune ends the sweep."""
        return self._given_up or (super().is_finished() and self._completed >= self._counter)

    def create_trial_if_possible(self, experiment_spec: dict[str, Any]) -> Any:
        """The next trial, named by its number: ``t00``, ``t01`` ..."""
        name = f"t{self._counter:02d}"
        named = dict.fromkeys(("trial_name_creator", "trial_dirname_creator"), lambda _trial: name)
        return super().create_trial_if_possible({**experiment_spec, **named})

    def set_finished(self) -> None:
        """Tune ends the sweep."""
        self._given_up = True
        super().set_finished()

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """One more has ended."""
        self._completed += 1
        super().on_trial_complete(trial_id, result, error)

    def get_state(self) -> dict[str, Any]:
        """Saved by Tune with each snapshot."""
        return {**super().get_state(), "completed": self._completed}

    def set_state(self, state: dict[str, Any]) -> None:
        """Called by Tune on a resume."""
        super().set_state(state)
        self._completed = state["completed"]
