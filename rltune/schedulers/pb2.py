"""Population Based Bandits (Parker-Holder et al. 2020, arXiv 2002.02518)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from ray.tune.schedulers.pb2_utils import UCB, TV_SquaredExp, normalize, optimize_acq, standardize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor

from rltune.schedulers import Plan
from rltune.schedulers.population import Population

#: The two columns before the settings: when, and from which return.
CONTEXT = 2


class Pb2(Population):
    """Explores where a Gaussian process expects the largest gain in return.

    The process is fitted on the unit cube of the space, so that logarithmic scales, powers of two
    and ordered choices are modelled as they are searched. Kernel and acquisition are the paper's,
    as Ray implements them.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        #: (trial id, env_steps, return, unit settings) of each interval's end.
        self._observed: list[tuple[str, float, float, np.ndarray]] = []
        #: Unit settings handed out that no report has answered yet, by trial.
        self._pending: dict[str, np.ndarray] = {}

    def _save_trial_state(self, state: Any, time: int, result: dict[str, Any], trial: Any) -> float:
        score: float = super()._save_trial_state(state, time, result, trial)
        self._observed.append((trial.trial_id, time, score, self.space.to_unit(trial.config)))
        self._pending.pop(trial.trial_id, None)
        return score

    def explore(self, trial: Any, donor: Any) -> dict[str, Any]:
        """The point of the highest upper confidence bound; a PBT step while there is no data.

        After the exploit the trial has its donor's return, which the next gain counts from.
        """
        now, score = self._trial_state[trial].last_train_time, self._trial_state[donor].last_score
        rows, gains = self._gains()
        if len(gains):
            context = np.array([[now, score]])
            unit = self._suggest(np.array(rows), np.array(gains), context)
            values = self.space.from_unit(unit)
        if not len(gains) or self.space.broken({**donor.config, **values}):
            values = self.space.perturb(donor.config, self.rng, fixed=donor.config)
        unit = self.space.to_unit(values)
        self._pending[trial.trial_id] = unit
        self._observed.append((trial.trial_id, now, score, unit))
        return values

    def _gains(self) -> tuple[list[np.ndarray], list[float]]:
        """Gain in return per step over each interval a trial spent at one setting, by its start."""
        rows, gains = [], []
        last: dict[str, tuple[float, float, np.ndarray]] = {}
        for trial, time, score, unit in self._observed:
            before = last.get(trial)
            last[trial] = (time, score, unit)
            if before is None or time <= before[0] or not np.array_equal(unit, before[2]):
                continue
            rows.append(np.concatenate([[time, before[1]], unit]))
            gains.append((score - before[1]) / (time - before[0]))
        return rows, gains

    def _suggest(self, rows: np.ndarray, gains: np.ndarray, context: np.ndarray) -> np.ndarray:
        seen = rows[:, :CONTEXT]
        inputs = np.hstack([normalize(seen, seen), rows[:, CONTEXT:]])
        targets = standardize(gains).reshape(-1, 1)
        fixed = normalize(context, seen)
        model = _fit(inputs, targets)
        # A second model counts the points under way: its uncertainty there is low already.
        busy = model
        if self._pending:
            waiting = np.array(list(self._pending.values()))
            extra = np.hstack([np.repeat(fixed, len(waiting), axis=0), waiting])
            zeros = np.zeros((len(waiting), 1))
            busy = _fit(np.vstack([inputs, extra]), np.vstack([targets, zeros]))
        best: np.ndarray = optimize_acq(UCB, model, busy, fixed, CONTEXT)
        return best


def _fit(inputs: np.ndarray, targets: np.ndarray) -> GaussianProcessRegressor:
    kernel = TV_SquaredExp(variance=1.0, lengthscale=1.0, epsilon=0.1)
    with warnings.catch_warnings():
        # A handful of points puts a hyperparameter on its bound; that is no one's mistake.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # The jitter keeps repeated points from making the matrix singular.
        return GaussianProcessRegressor(kernel=kernel, alpha=1e-6).fit(inputs, targets)


def build(plan: Plan) -> Pb2:
    """PB2 over environment steps."""
    return Pb2(plan)
