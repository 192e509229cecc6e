"""What a report says: the same for the page and for report.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rltune._version import __version__
from rltune.reports import headline
from rltune.reports.comparison import Comparison
from rltune.reports.drawings import Sections
from rltune.reports.environments import rows
from rltune.reports.leaderboard import leaderboard
from rltune.reports.next_steps import next_steps
from rltune.reports.provenance import provenance
from rltune.reports.run_view import RunView
from rltune.reports.spent import cost
from rltune.reports.troubles import troubles
from rltune.runs.lineage import is_schedule


def of_run(run: RunView, sections: Sections) -> dict[str, Any]:
    """The document of one run."""
    best = run.summary.best if run.summary else None
    evaluation = run.summary.evaluation if run.summary else None
    return {
        "kind": "run",
        "title": run.spec.name,
        "state": run.state,
        "stop_reason": run.summary.stop_reason if run.summary else "",
        "question": headline.question(run),
        "search": headline.search_in_words(run),
        "verdict": headline.verdict(run),
        "score": headline.score(run),
        "environments": [asdict(row) for row in rows(run.spec, evaluation)],
        "sure": headline.how_sure(run),
        "facts": headline.remarks(run),
        "metric": str(run.goal),
        "cost": asdict(cost(run.spec, run.outcome)),
        "schedule": [asdict(part) for part in run.champion] if is_schedule(run.champion) else [],
        "leaderboard": _leaderboard(run),
        "searched": list(run.spec.space),
        "plays": run.spec.plays,
        "next": [{"command": command, "tells": tells} for command, tells in next_steps(run)],
        "sections": _listed(sections),
        "troubles": troubles(run),
        "winner": best.trial if best else "",
        "best": {name: best.config.get(name) for name in run.spec.space}
        if best and run.searches
        else {},
        "settings": dict(best.config) if best else dict(run.spec.settings),
        "provenance": provenance(run),
        "rltune": __version__,
    }


def of_runs(compared: Comparison, sections: Sections) -> dict[str, Any]:
    """The document of several runs beside each other."""
    kinds, runs = len(compared.repeated), f"{len(compared.runs)} runs"
    asked = f"{kinds} requests, in {runs}," if 1 < kinds < len(compared.runs) else runs
    return {
        "kind": "comparison",
        "title": runs,
        "state": "",
        "question": f"Which of {asked} is better?",
        "verdict": headline.verdict_of(compared),
        "sure": headline.verdicts_of(compared),
        "metric": str(compared.goal),
        "runs": [
            {
                "name": name,
                "state": run.state,
                "question": headline.question(run),
                "verdict": headline.verdict(run),
                "score": headline.score(run),
                "trials": len(run.reports),
                "env_steps": run.env_steps,
                "wall_seconds": cost(run.spec, run.outcome).seconds,
            }
            for name, run in compared.runs.items()
        ],
        "sections": _listed(sections),
        "rltune": __version__,
    }


def _leaderboard(run: RunView) -> list[dict[str, Any]]:
    return [asdict(one) for one in leaderboard(run.spec, run.outcome, run.reports)]


def _listed(sections: Sections) -> list[dict[str, Any]]:
    return [
        {"title": title, "plots": [drawing.to_dict() for drawing in drawings]}
        for title, drawings in sections.items()
    ]
