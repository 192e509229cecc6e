"""Experiment trackers that show a sweep beside a team's other work: ``log="wandb,mlflow"``.

Each library runs in a process of its own, so that nothing it does can harm the sweep: not at its
import, not while it logs, not at its exit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from rltune.errors import BadInput, unknown

#: A word for what is written always.
ALWAYS = "tensorboard"


@dataclass(frozen=True)
class Tracker:
    """An experiment tracker. The extra that installs its library has the tracker's name.

    Attributes:
        module: whose ``LOGGER`` is the class of its logger.
        package: that the library is imported as.
        variables: of the environment, where the user sets none: no telemetry, no questions.
        login: variables, one of which says whether and how to log in; where none is set, the
            library is asked before the sweep starts. Empty where there is no login.
    """

    module: str
    package: str
    variables: Mapping[str, str] = field(default_factory=dict)
    login: tuple[str, ...] = ()

    @property
    def is_asked(self) -> bool:
        """Whether the library has to say if the user can log in."""
        return bool(self.login) and not any(map(os.environ.get, self.login))


_HERE = "rltune.callbacks.loggers"
TRACKERS = {
    "wandb": Tracker(
        f"{_HERE}.wandb",
        "wandb",
        {"WANDB_ERROR_REPORTING": "false"},
        ("WANDB_API_KEY", "WANDB_MODE"),
    ),
    "mlflow": Tracker(f"{_HERE}.mlflow", "mlflow", {"MLFLOW_DISABLE_TELEMETRY": "true"}),
    "aim": Tracker(f"{_HERE}.aim", "aim", {"AIM_UI_TELEMETRY_ENABLED": "0"}),
    "comet": Tracker(
        f"{_HERE}.comet",
        "comet_ml",
        {"COMET_INTERNAL_REPORTING": "0"},
        ("COMET_API_KEY", "COMET_START_ONLINE"),
    ),
}


def check_loggers(names: Sequence[str]) -> None:
    """Checks that trackers are known and their libraries installed; imports none.

    Raises:
        BadInput: with every one that is not.
    """
    problems = []
    for name in names:
        if name not in TRACKERS:
            problems.append(f"log: {unknown('logger', name, (*TRACKERS, ALWAYS))}")
        elif not _is_installed(TRACKERS[name].package):
            problems.append(f"log: {name} is not installed: pip install 'rltune[{name}]'")
    if problems:
        raise BadInput(problems)


def _is_installed(package: str) -> bool:
    """Whether a package is there; a folder of that name, as ``./wandb``, is none."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None
