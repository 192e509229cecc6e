"""The table of plots: a new one is a file with ``rows`` and ``ink``, and a row here."""

from __future__ import annotations

from rltune.reports.comparison import Comparison
from rltune.reports.plots import (
    best_so_far,
    compared_progress,
    compared_scores,
    dimensionality,
    importance,
    improvement,
    learning_curves,
    lineage,
    optimism_gap,
    parallel_coordinates,
    pareto_front,
    profiles,
    seeds,
    sensitivity,
    settings_paths,
    slices,
    trials,
)
from rltune.reports.plots.base import Plot
from rltune.reports.run_view import RunView

#: The plots of a run by the heading that they stand under.
OF_A_RUN: dict[str, tuple[Plot[RunView], ...]] = {
    "What can be had for what": (
        Plot(
            "pareto-front",
            "Pareto front",
            "What does the first objective cost of the others? Nothing beats a blue dot in all.",
            pareto_front.rows,
            pareto_front.ink,
            facet="against",
            note=pareto_front.note,
        ),
    ),
    "How it went": (
        Plot(
            "best-so-far",
            "Best so far",
            "When was the best found, and was more training still worth it?",
            best_so_far.rows,
            best_so_far.ink,
            facet="against",
        ),
        Plot(
            "learning-curves",
            "Learning curves",
            "How did each trial learn?",
            learning_curves.rows,
            learning_curves.ink,
            thin=learning_curves.thin,
            note=learning_curves.note,
        ),
    ),
    "How settings changed": (
        Plot(
            "lineage",
            "Lineage",
            "Which members copied whose weights, when, and what did they change?",
            lineage.rows,
            lineage.ink,
        ),
        Plot(
            "settings-paths",
            "Settings over time",
            "What did each member train with? Blue is the winner; a dot is an exploit.",
            settings_paths.rows,
            settings_paths.ink,
            facet="setting",
        ),
    ),
    "What mattered": (
        Plot(
            "importance",
            "Importance",
            "Which settings decide whether a trial is among the best? (PED-ANOVA)",
            importance.rows,
            importance.ink,
            missing=importance.missing,
            note=importance.note,
        ),
        Plot(
            "dimensionality",
            "How many settings need tuning",
            "Which settings must be tuned, and which can stay at their defaults?",
            dimensionality.rows,
            dimensionality.ink,
            note=dimensionality.note,
        ),
        Plot(
            "parallel-coordinates",
            "Parallel coordinates",
            "What do the best trials have in common?",
            trials.rows,
            parallel_coordinates.ink,
            note=trials.note,
        ),
        Plot(
            "slices",
            "Slices",
            "Where in its range does each setting work? The large dot is the winner.",
            trials.rows,
            slices.ink,
            facet="setting",
        ),
    ),
    "Can it be trusted?": (
        Plot(
            "optimism-gap",
            "Optimism gap",
            "How much worse is the score on fresh seeds than what the search believed?",
            optimism_gap.rows,
            optimism_gap.ink,
        ),
        Plot(
            "seeds",
            "Scores by seed",
            "Is it the settings, or one lucky training run?",
            seeds.rows,
            seeds.ink,
            note=seeds.note,
        ),
    ),
}

#: The plots of several runs.
OF_SEVERAL_RUNS: dict[str, tuple[Plot[Comparison], ...]] = {
    "Which is better": (
        Plot(
            "scores",
            "Scores",
            "What did each come to, and how sure is that? (IQM, 95 % bootstrap interval)",
            compared_scores.rows,
            seeds.ink,
            facet="panel",
            wide=True,
            note=compared_scores.note,
        ),
        Plot(
            "improvement",
            "Probability of improvement",
            "How likely is a score of the one above one of the other?",
            improvement.rows,
            improvement.ink,
            facet="panel",
            wide=True,
        ),
        Plot(
            "profiles",
            "Performance profiles",
            "Which share of the scores is at least so good?",
            profiles.rows,
            profiles.ink,
            facet="panel",
            wide=True,
        ),
    ),
    "What tuning is worth": (
        Plot(
            "sensitivity",
            "Sensitivity",
            "How much is lost by settings that are the same for every task?",
            sensitivity.rows,
            sensitivity.ink,
            note=sensitivity.note,
        ),
    ),
    "How they went": (
        Plot(
            "progress",
            "Best so far",
            "Which was faster?",
            compared_progress.rows,
            compared_progress.ink,
            facet="panel",
        ),
    ),
}
