"""What is tuned. One file for each task, one table."""

from __future__ import annotations

from rltune.environments import SEVERAL
from rltune.spec import FUNCTION, RL, RLLIB, RunSpec
from rltune.tasks.algorithm import AlgorithmTask
from rltune.tasks.base import Task
from rltune.tasks.function import FunctionTask
from rltune.tasks.rl import RLTask
from rltune.tasks.several import SeveralTask

__all__ = ["TASKS", "Task", "task_of"]

#: By the name in :attr:`rltune.spec.RunSpec.task`.
TASKS: dict[str, type[Task]] = {
    RL: RLTask,
    SEVERAL: SeveralTask,
    FUNCTION: FunctionTask,
    RLLIB: AlgorithmTask,
}


def task_of(spec: RunSpec) -> Task:
    """The task of a request."""
    return TASKS[spec.task](spec)
