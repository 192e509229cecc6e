"""BOHB's model (Falkner et al. 2018): kernel densities of good and bad settings at one budget.

The authors' HpBandSter has had no release since 2018, needs a C compiler, and draws at random
where its model fails. Its densities are those of statsmodels, which divides by zero where all good
settings have the same option. The model is a page of numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import truncnorm

from rltune.searchers.history import History, PastTrial
from rltune.searchers.library import LibrarySearcher, Point, Tried
from rltune.spec import RunSpec

# The paper's defaults.
GOOD_PERCENT = 15
SAMPLES = 64
RANDOM_FRACTION = 1 / 3
WIDER = 3.0
LEAST_WIDTH = 1e-3
#: Share of a budget at which a trial counts as having reached it. Trials report between multiples
#: of their batch sizes, so that two that trained equally long differ by a report.
CLOSE = 0.8


@dataclass(frozen=True)
class Density:
    """Product kernels: Gaussian for numbers, Aitchison and Aitken's (1976) for choices.

    Attributes:
        data: shape ``(points, numbers + choices)``, numbers first.
        options: how many options each choice has.
        width: bandwidth of each column; of a choice, the chance of any other option.
    """

    data: np.ndarray
    options: np.ndarray
    width: np.ndarray

    @classmethod
    def of(cls, data: np.ndarray, options: np.ndarray) -> Density:
        """Bandwidths by the normal reference rule (Scott 1992)."""
        points, columns = data.shape
        width = 1.06 * data.std(axis=0) * points ** (-1 / (4 + columns))
        most = np.full(columns, np.inf)
        most[columns - len(options) :] = (options - 1) / options  # where every option is as likely
        return cls(data, options, np.clip(width, LEAST_WIDTH, most))

    def at(self, points: np.ndarray) -> np.ndarray:
        """Density at points, shape ``(points, columns)``; not normalised."""
        numbers = len(self.width) - len(self.options)
        units, width = points[:, None, :numbers], self.width[:numbers]
        bell = np.exp(-0.5 * ((units - self.data[:, :numbers]) / width) ** 2) / width
        other = self.width[numbers:]
        alike = points[:, None, numbers:] == self.data[:, numbers:]
        match = np.where(alike, 1 - other, other / (self.options - 1))
        density: np.ndarray = (bell.prod(axis=2) * match.prod(axis=2)).mean(axis=1)
        return density

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws around the data, wider than the density, inside the cube."""
        numbers = len(self.width) - len(self.options)
        around = self.data[rng.integers(len(self.data), size=count)]
        centre, width = around[:, :numbers], WIDER * self.width[:numbers]
        units = truncnorm.rvs(
            -centre / width, (1 - centre) / width, loc=centre, scale=width, random_state=rng
        )
        other = rng.integers(self.options, size=(count, len(self.options)))
        kept = rng.random(other.shape) >= self.width[numbers:]
        return np.hstack([units, np.where(kept, around[:, numbers:], other)])


class BohbSearcher(LibrarySearcher):
    """Proposes what is likely among the best settings and unlikely among the others.

    The scores are those at the largest budget that enough trials have reached, running ones too.
    A third of the proposals is random, and so is each before twice as many trials have reported as
    there are settings. Trials that run are told with what they have reported; that two proposals
    in a row differ follows from the draws.
    """

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        self._options = np.array(list(self.cube.choices.values()), dtype=int)
        self._least = len(self.cube) + 1

    def tried(self, history: History) -> list[Tried]:
        """Every trial that is over or has reported."""
        reported = [t for t in history.trials if t.status != "running" or t.last is not None]
        return self.encoded(reported)

    def propose(self, seed: int, tried: Sequence[Tried], running: Sequence[Point]) -> Point:
        """Maximises the ratio of both densities over draws around good settings."""
        rng = np.random.default_rng(seed)
        budget = largest_budget([one.trial for one in tried], 2 * self._least)
        if budget is None or rng.random() < RANDOM_FRACTION:
            units = rng.random(len(self.cube.numbers))
            return self._point(np.hstack([units, rng.integers(self._options)]))
        good, bad = self._densities(tried, budget)
        drawn = good.draw(SAMPLES, rng)
        ratio = np.maximum(good.at(drawn), 1e-32) / np.maximum(bad.at(drawn), 1e-32)
        return self._point(drawn[int(np.argmax(ratio))])

    def _densities(self, tried: Sequence[Tried], budget: int) -> tuple[Density, Density]:
        """Densities of the best settings, and of all others; a failure is the worst."""
        rows, scores = [], []
        for one in tried:
            score = score_at(one.trial, budget)
            if score is not None or one.score is None:
                rows.append([*one.point.units, *one.point.options])
                scores.append(-math.inf if score is None else score)
        data = np.array(rows)[np.argsort(scores, kind="stable")[::-1]]
        # At least as many as a density needs of each: enough trials have a score at the budget.
        good = max(self._least, GOOD_PERCENT * len(rows) // 100)
        good = min(good, int(np.isfinite(scores).sum()), len(rows) - self._least)
        return Density.of(data[:good], self._options), Density.of(data[good:], self._options)

    def _point(self, row: np.ndarray) -> Point:
        numbers = len(self.cube.numbers)
        return Point(tuple(map(float, row[:numbers])), tuple(map(int, row[numbers:])))


def largest_budget(trials: Sequence[PastTrial], least: int) -> int | None:
    """The largest clock that ``least`` trials have a score at; None where too few have one."""
    clocks = sorted((max(_scores(trial)) for trial in trials if _scores(trial)), reverse=True)
    return clocks[least - 1] if len(clocks) >= least else None


def score_at(trial: PastTrial, budget: int) -> float | None:
    """A trial's score at a budget; None where it failed or has not come close to it."""
    scores = _scores(trial)
    if not scores or max(scores) < CLOSE * budget:
        return None
    reports = sorted(scores)
    until = [clock for clock in reports if clock <= budget]
    return scores[until[-1] if until else reports[0]]


def _scores(trial: PastTrial) -> dict[int, float]:
    if trial.status == "failed":
        return {}
    return {c: s for c, s in trial.scores.items() if s is not None and math.isfinite(s)}


def build(spec: RunSpec) -> BohbSearcher:
    """BOHB's kernel density model."""
    return BohbSearcher(spec)
