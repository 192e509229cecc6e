"""Curves that were measured: a table of reports, from a CSV file or from rows."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from rltune import catalog
from rltune.engine.metric_names import REWARD
from rltune.errors import BadInput
from rltune.runs.folder import RunFolder
from rltune.runs.landscape import TABLE
from rltune.space import Choice, Space
from rltune.space.values import is_number

AGE, SEED, SECONDS = "env_steps", "seed", "seconds"


@dataclass(frozen=True)
class Curve:
    """One training run of the table: its reports in rising order of their age."""

    env_steps: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray | None = None


class Table:
    """What settings came to, looked up: curves for :func:`rltune.simulate`.

    Between two reports of a run the score is interpolated; before the first and after the last it
    stands still. Where settings were run on several seeds, a trial follows one of them, which its
    own seed chooses. A score that is not finite makes a trial diverge.

    A trial that changes its settings gains from there what the table's run gains at its age: a
    table of constant settings cannot know better, see
    :class:`rltune.simulator.curves.ScoreCurves`.

    >>> from rltune.space import parse_parameter
    >>> table = Table(
    ...     [
    ...         {"lr": 1e-4, "env_steps": 100, "score": 1.0},
    ...         {"lr": 1e-3, "env_steps": 100, "score": 5.0},
    ...         {"lr": 1e-3, "env_steps": 300, "score": 9.0},
    ...     ],
    ...     Space({"lr": parse_parameter("lr", {"log": [1e-4, 1e-3]})}),
    ... )
    >>> table({"lr": 8e-4, "seed": 0}, 200)
    7.0

    Args:
        rows: one for each report: its settings by name, ``env_steps``, the score; and ``seed`` and
            ``seconds``, since the start of the training run, where they are known.
        space: names the settings. Two settings are near where they are near on its scales.
        score: the name of the score in a row.
        lookup: "nearest": settings that are not in the table stand for the nearest that are;
            "exact": they are refused.

    Raises:
        BadInput: rows without a setting, an age or a score.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        space: Space,
        score: str = "score",
        lookup: Literal["nearest", "exact"] = "nearest",
    ) -> None:
        self.space = space
        self._lookup = lookup
        runs: dict[str, dict[Any, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        #: Settings by their text: a choice may be a list.
        self._settings: dict[str, dict[str, Any]] = {}
        for number, row in enumerate(rows, 1):
            if wrong := _problems(row, space, score):
                raise BadInput([f"table: row {number}{problem}" for problem in wrong])
            settings = {name: row[name] for name in space}
            self._settings.setdefault(_key(settings), settings)
            runs[_key(settings)][row.get(SEED)].append(row)
        if not runs:
            raise BadInput("table: there are no rows")
        self._curves: dict[str, list[Curve]] = {
            key: [_curve(rows, score) for rows in seeds.values()] for key, seeds in runs.items()
        }
        self._points = np.array([self._point(one) for one in self._settings.values()])

    @classmethod
    def from_csv(cls, path: str | Path, space: Space, **options: Any) -> Self:
        """A table from a CSV file, ``.csv`` or ``.csv.gz``, with a column for each part of a row.

        Args:
            options: of the class.

        Raises:
            BadInput: the file cannot be read, or a row lacks something.
        """
        try:
            with (gzip.open if str(path).endswith(".gz") else open)(path, "rt", newline="") as file:
                rows = [
                    {name: _value(text) for name, text in row.items()}
                    for row in csv.DictReader(file)
                ]
        except OSError as error:
            raise BadInput(f"table {path}: {error}") from error
        return cls(rows, space, **options)

    @classmethod
    def from_run(cls, path: str | Path, **options: Any) -> Self:
        """The table that `rltune landscape` has written into a run folder.

        Args:
            options: of the class.

        Raises:
            BadInput: the folder is no run, or has no such table.
        """
        folder = RunFolder.open(path)
        spec = folder.spec
        return cls.from_csv(folder.path / TABLE, spec.space, score=spec.metric, **options)

    @classmethod
    def shipped(cls, algo: str, env: str, **options: Any) -> Self:
        """A table that ships with rltune: the space of a preset, measured.

        >>> table = Table.shipped("ppo", "cartpole")
        >>> len(table), table({"lr": 2e-3, "gamma": 0.98, "clip_param": 0.2}, 50_000) > 400
        (64, True)

        Args:
            options: of the class.

        Raises:
            BadInput: there is none for them.
        """
        if (algo, env) not in catalog.landscapes():
            there = ", ".join(" on ".join(one) for one in catalog.landscapes())
            raise BadInput(
                f"table: none ships for {algo} on {env}, but for {there}. Measure one with: "
                f"rltune landscape {algo} {env}"
            )
        space = catalog.preset(algo, catalog.environment(env)).space
        return cls.from_csv(catalog.landscape_path(algo, env), space, score=REWARD, **options)

    def measured(self) -> Iterator[tuple[Mapping[str, Any], Sequence[Curve]]]:
        """Each setting of the table with its training runs, one a seed."""
        return ((settings, self._curves[key]) for key, settings in self._settings.items())

    def __len__(self) -> int:
        """How many different settings it has."""
        return len(self._settings)

    def __call__(self, settings: Mapping[str, Any], env_steps: int) -> float:
        """The score of settings at an age."""
        run = self.run(settings)
        return float(np.interp(env_steps, run.env_steps, run.scores))

    def seconds_per_step(self, settings: Mapping[str, Any]) -> float:
        """Mean seconds of an environment step at these settings, for :func:`rltune.simulate`.

        Raises:
            BadInput: the table has no ``seconds``.
        """
        run = self.run(settings)
        if run.seconds is None:
            raise BadInput(f"table: there is no column {SECONDS}")
        return float(run.seconds[-1] / run.env_steps[-1])

    def run(self, settings: Mapping[str, Any]) -> Curve:
        """The training run that a configuration follows.

        Raises:
            BadInput: its settings are not in the table, which is to be exact.
        """
        key = _key({name: settings[name] for name in self.space})
        if key not in self._curves:
            if self._lookup == "exact":
                raise BadInput(f"table: there are no rows of the settings {key}")
            distances = ((self._points - self._point(settings)) ** 2).sum(axis=1)
            key = list(self._settings)[int(distances.argmin())]
        runs, seed = self._curves[key], int(settings.get(SEED, 0))
        return runs[seed % len(runs)]

    def _point(self, settings: Mapping[str, Any]) -> np.ndarray:
        """Settings as coordinates; two options of a choice are as far apart as two bounds."""
        found: list[float] = []
        for name, parameter in self.space.items():
            if isinstance(parameter, Choice):
                chosen = parameter.index(settings[name])
                found += [math.sqrt(0.5) * (n == chosen) for n in range(len(parameter.options))]
            else:
                found.append(parameter.to_unit(settings[name]))
        return np.array(found)


def _problems(row: Mapping[str, Any], space: Space, score: str) -> list[str]:
    """What is wrong with a row."""
    if missing := [name for name in (*space, AGE, score) if row.get(name) is None]:
        return [f" has no {', '.join(missing)}"]
    choices = {name: p for name, p in space.items() if isinstance(p, Choice)}
    numbers = [name for name in (*space, AGE, score) if name not in choices]
    return [
        f": {name} {row[name]!r} is no number" for name in numbers if not is_number(row[name])
    ] + [
        f": {name} {row[name]!r} is none of {choice.domain()}"
        for name, choice in choices.items()
        if not choice.contains(row[name])
    ]


def _curve(rows: Sequence[Mapping[str, Any]], score: str) -> Curve:
    rows = sorted(rows, key=lambda row: row[AGE])
    columns = {
        name: np.array([row[name] for row in rows], dtype=float)
        for name in (AGE, score, SECONDS)
        if all(is_number(row.get(name)) for row in rows)
    }
    return Curve(columns[AGE], columns[score], columns.get(SECONDS))


def _key(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, default=float)


def _value(text: str | None) -> Any:
    """The value of a cell: a number, true, false or a list as JSON has them, or the text itself."""
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return float(text)  # nan, 1e5 without a digit behind the point ...
    except ValueError:
        return text
