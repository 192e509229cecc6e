"""Which settings the score depends on, by Optuna's PED-ANOVA."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from rltune.reports.evidence import Evidence
from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column
from rltune.reports.plots.ink import bars, figure
from rltune.reports.run_view import RunView
from rltune.space import Choice, Parameter

#: Trials below which an importance would be noise.
FEWEST_TRIALS = 20
#: What counts as among the best: this share of the trials, but so many of them at least.
BEST_SHARE, BEST_AT_LEAST = 0.1, 10


def missing(run: RunView) -> str:
    """What to install, where Optuna is what is missing."""
    if find_spec("optuna") or not Evidence.of(run, FEWEST_TRIALS).trials:
        return ""
    return 'The importance of each setting needs Optuna: pip install "rltune[optuna]"'


def rows(run: RunView) -> list[Row]:
    """``setting`` and its ``importance``, the largest first; they add up to 1.

    ``source`` says whose trials tell it, and is empty for the run's own.
    """
    evidence = Evidence.of(run, FEWEST_TRIALS)
    if not evidence.trials or not find_spec("optuna"):
        return []
    try:
        found = _importances(run, evidence.trials)
    except (RuntimeError, ValueError):  # all scores are equal, or every setting is fixed
        return []
    return [
        {"setting": name, "importance": float(share), "source": evidence.source}
        for name, share in found.items()
    ]


def note(rows: list[Row]) -> str:
    """Whose trials tell it, where they are not the run's own."""
    source = rows[0]["source"]
    return f"Told by {source}, not by this run's trials." if source else ""


def _importances(run: RunView, by_trial: Sequence[Sequence[Row]]) -> dict[str, float]:
    """PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255) on the positions in each range."""
    optuna: Any = import_module("optuna")
    scales = {name: _scale(optuna.distributions, p) for name, p in run.spec.space.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize")
        for of in by_trial:
            inside = {r["setting"]: r["position"] for r in of if r["position"] is not None}
            study.add_trial(
                optuna.trial.create_trial(
                    params=inside,
                    distributions={name: scales[name] for name in inside},
                    value=run.goal.score(of[0]["score"]),
                )
            )
        share = max(BEST_SHARE, BEST_AT_LEAST / len(by_trial))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
        found: dict[str, float] = optuna.importance.get_param_importances(
            study, evaluator=evaluator
        )
    return found


def _scale(distributions: Any, parameter: Parameter) -> Any:
    """The distribution of a setting's positions."""
    if isinstance(parameter, Choice):
        return distributions.CategoricalDistribution([*map(parameter.to_unit, parameter.options)])
    return distributions.FloatDistribution(0.0, 1.0)


def ink(rows: list[Row], axes: Axes) -> Figure:
    """Horizontal bars."""
    names, shares = column(rows, "setting"), column(rows, "importance")
    return figure(
        [bars(names, shares, "%{y}: %{x:.0%}")],
        "share of the importance",
        "",
        xaxis={"tickformat": ".0%", "rangemode": "tozero"},
        yaxis={"autorange": "reversed"},
        height=90 + 28 * len(names),
    )
