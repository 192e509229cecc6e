"""What is notified of a sweep: the run folder's files, TensorBoard, the terminal, a user's own."""

from rltune.callbacks.base import (
    Callback,
    CheckpointWritten,
    DecisionApplied,
    EvaluationProgressed,
    EvaluationStarted,
    Event,
    Notice,
    StatusChanged,
    SweepAbandoned,
    SweepEnded,
    SweepStarted,
    TrialFailed,
    TrialReported,
)

__all__ = [
    "Callback",
    "CheckpointWritten",
    "DecisionApplied",
    "EvaluationProgressed",
    "EvaluationStarted",
    "Event",
    "Notice",
    "StatusChanged",
    "SweepAbandoned",
    "SweepEnded",
    "SweepStarted",
    "TrialFailed",
    "TrialReported",
]
