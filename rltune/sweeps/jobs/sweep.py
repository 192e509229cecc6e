"""A sweep: trials that a searcher starts and a scheduler decides about; the best policy counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rltune.callbacks.base import Callbacks
from rltune.errors import NothingUsable
from rltune.policies import evaluation
from rltune.policies.outcome import check_any_score, with_best
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import Summary
from rltune.searchers import starting_point
from rltune.spec import CANDIDATES
from rltune.sweeps.jobs.base import Job


class Sweep(Job):
    """Tunes settings."""

    first_wins = True
    keeps_every_policy = False

    def starting_point(self, index: int) -> dict[str, Any]:
        """A given point while there is one, then the searcher's suggestions."""
        return starting_point(self.spec, self.searcher, index)

    def conclude(self, folder: RunFolder, summary: Summary, callbacks: Callbacks) -> Summary:
        """The best policy and its score.

        Where the environment lets none be scored, the one with the best record stays.
        """
        spec = self.spec
        candidates = folder.checkpoints()[:CANDIDATES]
        if not candidates:
            raise NothingUsable("no trial left a policy behind")
        played = evaluation.selection_seeds(spec.seed, spec.evaluation.selection_episodes)
        seeds_of_score = evaluation.evaluation_seeds(spec.seed, spec.evaluation.episodes)
        found = evaluation.score_checkpoints(folder, candidates, played)
        chosen = evaluation.choose(folder, found, seeds_of_score)
        check_any_score(chosen)
        best = chosen.candidate or found[0]
        folder.keep_best(best.checkpoint, trial=best.checkpoint.parts[-3])
        summary = replace(summary, unscored=chosen.unscored)
        return with_best(summary, spec, folder, best.score, chosen.evaluation)
