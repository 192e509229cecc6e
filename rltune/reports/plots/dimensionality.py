"""How many settings need tuning: the effective dimensionality of Adkins et al. 2024.

"A Method for Evaluating Hyperparameter Sensitivity in Reinforcement Learning" (arXiv 2412.07165):
the smallest number of hyperparameters whose tuning, with all others at their defaults, reaches
95 % of what tuning all of them does. The paper trains on a grid; here a model of the trials stands
in for it, and the settings are added one at a time, so that the number is an upper bound.
"""

from __future__ import annotations

from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column
from rltune.reports.plots.ink import GREY, bars, figure, line
from rltune.reports.run_view import RunView
from rltune.reports.surrogate import Surrogate

#: Share of the best that is enough.
ENOUGH = 0.95


def rows(run: RunView) -> list[Row]:
    """For each number of settings ``tuned``: the last ``setting`` added, the ``share`` reached.

    ``explained`` is the share of the variance of scores left out that the model explains;
    ``source`` says whose trials it rests on, and is empty for the run's own.
    """
    model = Surrogate.of(run)
    if model is None:
        return []
    tuned: list[str] = []
    reached = [("the defaults", float(model.score(model.defaults[None])[0]))]
    while len(tuned) < len(model.names):
        scores = {
            name: float(model.score(model.candidates([*tuned, name])).max())
            for name in model.names
            if name not in tuned
        }
        name = max(scores, key=lambda one: scores[one])
        tuned.append(name)
        # What fewer settings reach, more do: they may keep their defaults.
        reached.append((name, max(scores[name], reached[-1][1])))
    best = reached[-1][1]
    if best <= 0:
        return []
    told = {"explained": model.explained, "source": model.source}
    return [
        {"tuned": count, "setting": name, "share": score / best, **told}
        for count, (name, score) in enumerate(reached)
    ]


def note(rows: list[Row]) -> str:
    """The effective dimensionality, and what it rests on."""
    most = len(rows) - 1
    enough = next((row["tuned"] for row in rows if row["share"] >= ENOUGH), most)
    whose = rows[0]["source"] or "the trials"
    return (
        f"Effective dimensionality at most {enough} of {most}: so many settings tuned, the others "
        f"at their defaults, reach {ENOUGH:.0%} of the best. Scores are normalised by the trials' "
        f"5th and 95th percentiles; they are those of a Gaussian process over {whose}, which "
        f"explains {rows[0]['explained']:.0%} of the variance of scores left out."
    )


def ink(rows: list[Row], axes: Axes) -> Figure:
    """A bar a setting added, beside the line of what is enough."""
    names = [row["setting"] if row["tuned"] == 0 else f"+ {row['setting']}" for row in rows]
    goal = line([ENOUGH, ENOUGH], [names[0], names[-1]], "enough", GREY, 1, line={"dash": "dash"})
    return figure(
        [bars(names, column(rows, "share"), "%{y}: %{x:.0%}"), goal],
        "share of the best normalised score",
        "",
        xaxis={"tickformat": ".0%"},
        yaxis={"autorange": "reversed"},
        height=110 + 28 * len(names),
    )
