"""What a user searches: parameters, fixed and derived settings, from any form they come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rltune.errors import BadInput
from rltune.space import tune_objects
from rltune.space.constraints import Constraint
from rltune.space.derived import config_of, is_expression, of_expression, reference
from rltune.space.nesting import SEPARATOR, collisions
from rltune.space.parameter import Parameter
from rltune.space.parse import KINDS, OPTIONAL, parse_parameter
from rltune.space.search_space import Space
from rltune.space.values import plain
from rltune.toml_file import TomlFile

#: The name that no setting has: it holds the relations between settings.
CONSTRAINTS = "constraints"
#: How like a kind's name a key must be to be taken for a mistyped one.
MISTYPED = 0.65


@dataclass(frozen=True)
class Searched:
    """A space, and the settings that come with it.

    Attributes:
        settings: fixed values by flat name.
        derived: what computes a setting from the others, by flat name, see
            :mod:`rltune.space.derived`.
    """

    space: Space
    settings: Mapping[str, Any] = field(default_factory=dict)
    derived: Mapping[str, str] = field(default_factory=dict)

    def middle(self) -> dict[str, Any]:
        """Returns the settings outside a search: fixed ones, defaults, and middles of ranges."""
        middles = {name: parameter.from_unit(0.5) for name, parameter in self.space.items()}
        return {**self.settings, **middles, **self.space.defaults()}

    def check(self) -> None:
        """Checks the names in constraints, and computes the derived settings once.

        Raises:
            BadInput: a constraint is about a derived setting; a function fails, or derived settings
                depend on each other.
        """
        known = self.space.keys() | self.settings.keys()
        for constraint in self.space.constraints:
            if wrong := constraint.names() - known:
                raise BadInput(
                    f"constraint {constraint.text!r}: {min(wrong)} is neither fixed nor searched"
                )
        config_of(self.middle(), self.derived)

    def overridden_by(self, later: Searched) -> Searched:
        """Returns what both hold, each name that both have as the later one has it.

        Raises:
            BadInput: a name is a setting here and a table there.
        """
        names = {*later.space, *later.settings, *later.derived}
        if problems := collisions({*self.space, *self.settings, *self.derived, *names}):
            raise BadInput(problems)

        def merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
            return {**{k: v for k, v in before.items() if k not in names}, **after}

        return Searched(
            Space(
                merged(self.space, later.space),
                tuple(dict.fromkeys((*self.space.constraints, *later.space.constraints))),
            ),
            merged(self.settings, later.settings),
            merged(self.derived, later.derived),
        )

    def with_settings(self, settings: Mapping[str, Any]) -> Searched:
        """Adds fixed settings, nested as a function gets them, that were given beside the space.

        Raises:
            BadInput: one is searched or fixed already, or is a table of others.
        """
        reader = _Reader()
        reader.read(settings)
        problems = [message for _, message in reader.problems]
        problems += [
            f"{name}: settings are fixed; give a parameter in the space"
            for name in (*reader.parameters, *reader.derived)
        ]
        own = [*self.space, *self.settings, *self.derived]
        problems += [
            f"{name} is in settings and in space: a setting is fixed or searched, give one of them"
            for name in reader.settings
            if name in own
        ]
        problems += collisions([*own, *reader.settings])
        if problems:
            raise BadInput(problems)
        return replace(self, settings={**self.settings, **reader.settings})


def space_of(value: Mapping[str, Any] | Space | Searched | Path | str) -> Searched:
    """Reads a search space in any form.

    A mapping may be nested; its values are parameters as in TOML, domains of Ray Tune
    (``tune.uniform(0, 1)``), and fixed settings; ``constraints`` lists relations between them. A
    path names a TOML file of the same form, see :func:`read_space`.

    >>> searched = space_of({"model": {"hidden": {"int": [8, 64]}, "layers": 2}})
    >>> list(searched.space), dict(searched.settings)
    (['model/hidden'], {'model/layers': 2})

    Raises:
        BadInput: with every problem, each with its place.
    """
    if isinstance(value, Searched):
        return value
    if isinstance(value, Space):
        return Searched(value)
    if isinstance(value, str | Path):
        return read_space(value)
    if not isinstance(value, Mapping):
        raise BadInput(f"space: expected a table or a TOML file, got {value!r:.80}")
    reader = _Reader()
    reader.read_whole(value)
    if reader.problems:
        raise BadInput([message for _, message in reader.problems])
    return reader.searched()


def read_space(path: str | Path) -> Searched:
    """Reads a TOML file: what :func:`space_of` takes as a mapping.

    Raises:
        BadInput: with every problem, each with its line.
    """
    file = TomlFile.read(Path(path).expanduser(), str(path), "space")
    reader = _Reader()
    reader.read_whole(file.tables)
    for place, message in reader.problems:
        file.complain(place, message)
    if not reader.parameters and not reader.problems:
        file.complain((), "it has no parameter, like lr = { log = [1e-5, 1e-2] }")
    if file.problems:
        raise BadInput(file.problems)
    return reader.searched()


class _Reader:
    """Takes a nested mapping apart; problems gather, each with the path of its key."""

    def __init__(self) -> None:
        self.parameters: dict[str, Parameter] = {}
        self.settings: dict[str, Any] = {}
        self.derived: dict[str, str] = {}
        self.constraints: list[Constraint] = []
        self.problems: list[tuple[tuple[str, ...], str]] = []

    def searched(self) -> Searched:
        """Returns what was read."""
        space = Space(self.parameters, tuple(self.constraints))
        return Searched(space, self.settings, self.derived)

    def read_whole(self, table: Mapping[str, Any]) -> None:
        """Reads a space: settings, and constraints between those that are numbers."""
        self.read({key: value for key, value in table.items() if key != CONSTRAINTS})
        texts = table.get(CONSTRAINTS, [])
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            self._complain((CONSTRAINTS,), "must be a list of texts like 'a <= b'")
            return
        known = [*self.parameters, *self.settings]
        for text in texts:
            try:
                self.constraints.append(Constraint.parse_known(text, known))
            except BadInput as error:
                self.problems.append(((CONSTRAINTS,), str(error)))

    def read(self, table: Mapping[str, Any], path: tuple[str, ...] = ()) -> None:
        """Reads a table of settings."""
        for key, value in table.items():
            if not isinstance(key, str) or not key:
                self._complain(path, f"the name of a setting must be a text, got {key!r}")
            elif SEPARATOR in key:
                table_, _, rest = key.partition(SEPARATOR)
                fix = f"write it as a table, {{ {table_!r}: {{ {rest!r}: ... }} }}"
                self._complain((*path, key), f"{SEPARATOR!r} separates nested settings: {fix}")
            else:
                self._read_one(value, (*path, key))

    def _read_one(self, value: Any, path: tuple[str, ...]) -> None:
        name = SEPARATOR.join(path)
        try:
            if tune_objects.is_function(value):
                self.derived[name] = reference(value.func)
            elif is_expression(value):
                self.derived[name] = of_expression(value["eval"])
            elif tune_objects.is_searched(value):
                self._add(path, tune_objects.body_of(value))
            elif isinstance(value, Mapping) and _is_parameter(value):
                self._add(path, value)
            elif isinstance(value, Mapping) and value:
                self.read(value, path)
            else:
                _check_fixed(value)
                self.settings[name] = plain(value)
        except ValueError as error:
            self._complain(path, str(error))

    def _add(self, path: tuple[str, ...], body: Mapping[str, Any]) -> None:
        name = SEPARATOR.join(path)
        _check_fixed(list(body.values()))
        try:
            self.parameters[name] = parse_parameter(name, plain(body))
        except BadInput as error:
            self.problems += [(path, problem) for problem in error.problems]

    def _complain(self, path: tuple[str, ...], message: str) -> None:
        name = SEPARATOR.join(path)
        self.problems.append((path, f"{name}: {message}" if name else message))


def _check_fixed(value: Any) -> None:
    """Raises ValueError for a list, or the options of a choice, that holds what is searched."""
    inside = value if isinstance(value, list | tuple) else ()
    for item in inside:
        if tune_objects.is_searched(item) or (isinstance(item, Mapping) and _is_parameter(item)):
            raise ValueError(
                "what is searched cannot be inside a list or an option: give it a name of its own"
            )
        _check_fixed(item)


def _is_parameter(table: Mapping[str, Any]) -> bool:
    """Returns whether a table is a parameter, perhaps a wrong one, and not one of settings.

    Raises:
        ValueError: it could be either.
    """
    others = [key for key in table if key not in OPTIONAL]
    kinds = [key for key in others if key in KINDS]
    if kinds and kinds == others:
        return True
    lists = [key for key in kinds if isinstance(table[key], list | tuple)]
    if lists:
        other = next(key for key in others if key not in KINDS)
        raise ValueError(
            f"{lists[0]!r} makes it a parameter, and {other!r} is no part of one: a table is one "
            "parameter, or holds settings"
        )
    # A table with one list in it: of settings, unless its key is a kind but for a letter or two.
    if len(others) != 1 or not isinstance(table[others[0]], list | tuple):
        return False
    mistyped = get_close_matches(str(others[0]).lower(), KINDS, n=1, cutoff=MISTYPED)
    return bool(mistyped) or len(table) > 1
