"""A simulation written down as a run, for reports and listings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rltune.runs.folder import BEST, RunFolder
from rltune.runs.front import front, last_values
from rltune.runs.json_text import dumps
from rltune.runs.records import Failure
from rltune.runs.summary_record import BestPolicy, Summary, TrialOutcome
from rltune.simulator.result import SimulatedTrial, Simulation


def write_run(simulation: Simulation, path: Path | str) -> RunFolder:
    """Writes a simulation as a run folder, whose seconds are the simulated ones.

    There are no checkpoints in it, and nothing that could be resumed.

    Args:
        path: of a folder that does not exist yet.

    Raises:
        BadInput: the folder exists.
        MachineError: the storage cannot be written.
    """
    path = Path(path).resolve()
    spec = replace(simulation.spec, storage=str(path.parent), name=path.name)
    folder = RunFolder.create(spec)
    folder.lock.release()
    for trial in simulation.trials:
        lines = (dumps(report.to_dict()) + "\n" for report in trial.reports)
        if trial.reports:
            folder.write_text(f"trials/{trial.id}/progress.jsonl", "".join(lines))
        for _ in range(trial.failures):
            failure = Failure(error="a simulated failure", tried_again=trial.status != "failed")
            folder.append_failure(trial.id, failure)
    for decision in simulation.decisions:
        # A simulated trial has what was asked for.
        folder.append_decision(replace(decision, effective=decision.requested))
    folder.write_summary(_summary(simulation))
    return folder


def _summary(simulation: Simulation) -> Summary:
    found = simulation.best
    best = (
        found
        if found is None
        else BestPolicy(
            trial=found.trial,
            config={**simulation.spec.settings, **found.settings},
            checkpoint=BEST,
            env_steps=found.age,
            score=found.score,
        )
    )
    trials = [_outcome(simulation, trial) for trial in simulation.trials]
    spec = simulation.spec
    return Summary(
        best=best,
        evaluation=None,
        env_steps=simulation.env_steps,
        wall_seconds=simulation.seconds,
        trials=trials,
        stop_reason=simulation.stop_reason,
        metric=simulation.spec.metric,
        mode=simulation.spec.mode,
        objective=list(spec.objective) or None,
        front=front(trials, spec.goals) if spec.objective else None,
    )


def _outcome(simulation: Simulation, trial: SimulatedTrial) -> TrialOutcome:
    goal, failed = simulation.spec.goal, trial.status == "failed"
    goals = simulation.spec.goals
    values = [value for row in trial.reports if (value := goal.of(row.measured)) is not None]
    return TrialOutcome(
        id=trial.id,
        status="ERROR" if failed else "TERMINATED",
        env_steps=trial.env_steps,
        score=values[-1] if values else None,
        config=dict(trial.reports[-1].settings) if trial.reports else dict(trial.start),
        error="a simulated failure" if failed else None,
        objectives=last_values(trial.reports, goals) if len(goals) > 1 else {},
    )
