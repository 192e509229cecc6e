"""How much depends on tuning for each task: sensitivity (Adkins et al. 2024, arXiv 2412.07165).

The sensitivity is the mean over tasks of the best normalised score, less the best mean over tasks
of one common setting: what is lost by tuning once for all. The paper trains on a grid; here models
of the trials of each search stand in for it.
"""

from __future__ import annotations

import numpy as np

from rltune.reports.comparison import Comparison, task_of
from rltune.reports.plots.axes import Axes
from rltune.reports.plots.base import Figure, Row, column
from rltune.reports.plots.ink import BLUE, GREY, dots, figure, line, listed
from rltune.reports.surrogate import Surrogate


def rows(compared: Comparison) -> list[Row]:
    """For each ``task``: the score at settings ``tuned`` for it, and at the best ``common`` ones.

    ``source`` says whose trials tell it, and is empty for the search's own. It takes searches of
    one algorithm over the same space, on two tasks or more; of several on the same task the first
    is taken.
    """
    models: dict[str, Surrogate] = {}
    methods = set()
    for run in compared.runs.values():
        if task_of(run) not in models and (model := Surrogate.of(run)):
            models[task_of(run)] = model
            methods.add((run.spec.algo, str(run.spec.space.to_dict())))
    if len(models) < 2 or len(methods) > 1:
        return []
    of_each = list(models.values())
    points = np.concatenate([model.candidates(model.names) for model in of_each])
    scores = np.array([model.score(points) for model in of_each])
    common = int(scores.mean(axis=0).argmax())
    return [
        {"task": task, "tuned": float(of.max()), "common": float(of[common])}
        | {"source": models[task].source}
        for task, of in zip(models, scores, strict=True)
    ]


def note(rows: list[Row]) -> str:
    """The sensitivity, in the unit of normalised scores."""
    lost = sum(row["tuned"] - row["common"] for row in rows) / len(rows)
    others = [f"{row['task']}: {row['source']}" for row in rows if row["source"]]
    told = f" Not told by a search's own trials: {'; '.join(others)}." if others else ""
    return (
        f"Sensitivity {lost:.2f}: so much of the normalised score is lost, on the mean of "
        f"{len(rows)} tasks, by settings that are the same for all. 0 and 1 are the 5th and 95th "
        "percentiles of each search's trials; scores are those of a model of them." + told
    )


def ink(rows: list[Row], axes: Axes) -> Figure:
    """Two dots a task, and the gap between them."""
    places = list(range(len(rows)))
    ends = [value for row in rows for value in (row["common"], row["tuned"], None)]
    heights = [value for place in places for value in (place, place, None)]
    hover = "%{x:.2f}"
    return figure(
        [
            line(ends, heights, colour=GREY, width=2),
            dots(column(rows, "tuned"), places, "tuned for the task", BLUE, hover=hover),
            dots(column(rows, "common"), places, "the best common settings", GREY, hover=hover),
        ],
        "normalised score",
        "",
        yaxis=listed(column(rows, "task")),
        height=110 + 34 * len(rows),
    )
