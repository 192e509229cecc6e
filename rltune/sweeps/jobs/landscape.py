"""Settings all over the space, each trained to its end on the same seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rltune.callbacks.base import Callbacks
from rltune.runs import landscape
from rltune.runs.folder import RunFolder
from rltune.runs.landscape import Trained
from rltune.runs.summary_record import LandscapeOutcome, SettingOutcome, Summary
from rltune.searchers import starting_point
from rltune.searchers.history import PastTrial
from rltune.searchers.seeds import Start, judged
from rltune.sweeps.jobs.sweep import Sweep

#: How far below the best median a setting may be to count as near it, as a share of it.
NEAR = 0.05


class Landscape(Sweep):
    """Trains every setting on every seed: the first seed of all settings, then the second one."""

    def next_start(self, index: int) -> Start | None:
        """The next setting on the seed that is due."""
        if self.is_over(index):
            return None
        seed, setting = divmod(index, self._settings)
        if seed == 0:
            point = starting_point(self.spec, self.searcher, setting, self.history)
        else:
            known = self.history.settings()[setting][0].settings
            point = {**self.spec.settings, **known}
        return Start(setting, {**point, "seed": self.spec.trial_seed(seed)})

    def is_over(self, index: int) -> bool:
        """Whether every setting has been started on every seed."""
        return index >= self.spec.budget.trials

    @property
    def _settings(self) -> int:
        return self.spec.budget.trials // self.asked.seeds

    def conclude(self, folder: RunFolder, summary: Summary, callbacks: Callbacks) -> Summary:
        """Writes the table; scores the best policy of the settings with the best median seed."""
        settings = self.history.settings()
        landscape.write_table(folder, _trained(settings))
        medians = [median(trials) for trials in settings]
        places = sorted(
            range(len(settings)),
            key=lambda n: (len(settings[n]), medians[n], judged(settings[n], "mean")),
            reverse=True,
        )
        if places:
            best = [trial.id for trial in settings[places[0]]]
            summary = self.task.conclude(folder, summary, best, callbacks.evaluated)
        return replace(
            summary,
            settings=[self._judged(settings[n], medians[n]) for n in places],
            landscape=self._told(settings, medians, places),
        )

    def _judged(self, trials: Sequence[PastTrial], middle: float) -> SettingOutcome:
        goal = self.spec.goal
        scores = [None if trial.score is None else goal.score(trial.score) for trial in trials]
        return SettingOutcome(
            config=trials[0].settings,
            trials=[trial.id for trial in trials],
            scores=scores,
            judged=goal.score(middle) if math.isfinite(middle) else None,
        )

    def _told(
        self, settings: Sequence[Sequence[PastTrial]], medians: Sequence[float], places: list[int]
    ) -> LandscapeOutcome | None:
        if not places or not math.isfinite(medians[places[0]]):
            return None
        best = medians[places[0]]
        # Settings that lack seeds have no fair median.
        whole = [n for n in places if len(settings[n]) == len(settings[places[0]])]
        near = sum(medians[n] >= best - NEAR * abs(best) for n in whole)
        return LandscapeOutcome(
            table=landscape.TABLE,
            settings=len(whole),
            seeds=len(settings[places[0]]),
            best=self.spec.goal.score(best),
            near_best=near / len(whole),
        )


def median(trials: Sequence[PastTrial]) -> float:
    """The median of the seeds' last scores, larger is better; a seed without one is the worst."""
    scores = [-math.inf if trial.score is None else trial.score for trial in trials]
    return float(np.quantile(scores, 0.5, method="lower"))


def _trained(settings: Sequence[Sequence[PastTrial]]) -> list[Trained]:
    return [
        Trained(trial.id, trial.settings, seed)
        for trials in settings
        for seed, trial in enumerate(trials)
    ]
