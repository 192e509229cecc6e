"""The search space: one definition, compiled for every scheduler and searcher.

A space maps the name of a setting to a :class:`Parameter`. Each parameter knows its domain, its
scale (the unit interval it is searched on) and the step PBT takes on it, so that schedulers and
searchers do not depend on its kind. In TOML, and in Python, a parameter is a one-key table::

    lr = { log = [1e-5, 1e-2], default = 1e-3 }
    gamma = { one_minus_log = [0.9, 0.9999] }
    train_batch_size = { pow2 = [32, 256] }
    fcnet_activation = { choice = ["relu", "tanh"] }
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from rltune.errors import BadInput, did_you_mean

Value = float | int | str | bool
Values = dict[str, Any]

#: Factors of PBT's explore step (Jaderberg et al. 2017, section 4.1).
PERTURB_FACTORS = (0.8, 1.2)
#: A step on a linear scale is a fifth of the value, as with those factors, but at least the first
#: share of the range (0 times 1.2 would stay 0) and at most the second (100 in [99, 101]).
STEP_SHARES = (0.05, 0.5)
#: Proposals drawn before a constrained space is declared unsatisfiable.
MAX_REJECTIONS = 1_000


@dataclass(frozen=True)
class Parameter(ABC):
    """One searched setting.

    Attributes:
        default: value used outside a search, inside the domain; None if there is none.
    """

    kind: ClassVar[str]
    default: Any = field(default=None, kw_only=True)

    @abstractmethod
    def to_unit(self, value: Any) -> float:
        """Maps a value to its position on [0, 1], in the parameter's own scale."""

    @abstractmethod
    def from_unit(self, unit: float) -> Any:
        """Maps a position on [0, 1] to its value; positions outside are clipped."""

    @abstractmethod
    def contains(self, value: Any) -> bool:
        """Returns whether a value lies in the domain."""

    @abstractmethod
    def neighbours(self, value: Any) -> tuple[Any, ...]:
        """Returns the values one PBT step down and one step up, clipped to the domain."""

    @abstractmethod
    def domain(self) -> list[Any]:
        """Returns ``[low, high]``, or the options of a choice, as written in TOML."""

    def ends(self) -> list[Any]:
        """Returns values that are allowed if and only if the whole domain is allowed."""
        return [self.from_unit(0.0), self.from_unit(1.0)]

    def sample(self, rng: np.random.Generator) -> Any:
        """Draws a value uniformly on the parameter's own scale."""
        return self.from_unit(float(rng.random()))

    def perturb(self, value: Any, rng: np.random.Generator) -> Any:
        """Moves a value one PBT step up or down; at a bound, away from the bound.

        Returns the value itself if the domain holds no other.
        """
        value = value if self.contains(value) else self.nearest(value)
        others = [other for other in self.neighbours(value) if not _same(other, value)]
        return others[int(rng.integers(len(others)))] if others else value

    def nearest(self, value: Any) -> Any:
        """Returns the value of the domain closest to a value outside it."""
        return self.from_unit(self.to_unit(value))

    def to_dict(self) -> dict[str, Any]:
        """Returns the TOML form."""
        body: dict[str, Any] = {self.kind: self.domain()}
        return body if self.default is None else {**body, "default": self.default}


@dataclass(frozen=True)
class _Range(Parameter):
    low: float
    high: float

    def domain(self) -> list[Any]:
        return [self.low, self.high]

    def contains(self, value: Any) -> bool:
        return _is_number(value) and self.low <= value <= self.high

    def _scaled(self, unit: float, low: float, high: float) -> float:
        return low + min(max(unit, 0.0), 1.0) * (high - low)

    def _position(self, value: float, low: float, high: float) -> float:
        return 0.0 if high == low else min(max((value - low) / (high - low), 0.0), 1.0)

    def _clip(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def _step(self, value: float) -> float:
        """Returns the length of a PBT step on a linear scale."""
        least, most = (share * (self.high - self.low) for share in STEP_SHARES)
        return min(max(abs(value) * (PERTURB_FACTORS[1] - 1.0), least), most)


@dataclass(frozen=True)
class Uniform(_Range):
    """A float, uniform between its bounds."""

    kind = "uniform"

    def to_unit(self, value: Any) -> float:
        return self._position(value, self.low, self.high)

    def from_unit(self, unit: float) -> float:
        return self._clip(self._scaled(unit, self.low, self.high))

    def neighbours(self, value: Any) -> tuple[float, ...]:
        step = self._step(value)
        return self._clip(value - step), self._clip(value + step)


@dataclass(frozen=True)
class Log(_Range):
    """A positive float, uniform in its logarithm (learning rates)."""

    kind = "log"

    def to_unit(self, value: Any) -> float:
        value = self._clip(value)
        return self._position(math.log(value), math.log(self.low), math.log(self.high))

    def from_unit(self, unit: float) -> float:
        return self._clip(math.exp(self._scaled(unit, math.log(self.low), math.log(self.high))))

    def neighbours(self, value: Any) -> tuple[float, ...]:
        return tuple(self._clip(value * factor) for factor in PERTURB_FACTORS)


@dataclass(frozen=True)
class OneMinusLog(_Range):
    """A float below 1, uniform in the logarithm of its distance to 1 (gamma, lambda)."""

    kind = "one_minus_log"

    def to_unit(self, value: Any) -> float:
        value = self._clip(value)
        return self._position(-math.log1p(-value), -math.log1p(-self.low), -math.log1p(-self.high))

    def from_unit(self, unit: float) -> float:
        return self._clip(
            -math.expm1(-self._scaled(unit, -math.log1p(-self.low), -math.log1p(-self.high)))
        )

    def neighbours(self, value: Any) -> tuple[float, ...]:
        return tuple(self._clip(1.0 - (1.0 - value) * factor) for factor in PERTURB_FACTORS)


@dataclass(frozen=True)
class Int(_Range):
    """An integer, uniform between its bounds, both included."""

    kind = "int"

    def contains(self, value: Any) -> bool:
        return isinstance(value, int) and super().contains(value)

    def to_unit(self, value: Any) -> float:
        return self._position(value + 0.5, self.low, self.high + 1)

    def from_unit(self, unit: float) -> int:
        return int(self._clip(math.floor(self._scaled(unit, self.low, self.high + 1))))

    def neighbours(self, value: Any) -> tuple[int, ...]:
        step = max(1, round(self._step(value)))
        return int(self._clip(value - step)), int(self._clip(value + step))


@dataclass(frozen=True)
class Pow2(_Range):
    """A power of two between its bounds, both included (batch sizes)."""

    kind = "pow2"

    def contains(self, value: Any) -> bool:
        return isinstance(value, int) and super().contains(value) and _is_pow2(value)

    def to_unit(self, value: Any) -> float:
        value = self._clip(value)
        return self._position(math.log2(value) + 0.5, math.log2(self.low), math.log2(self.high) + 1)

    def from_unit(self, unit: float) -> int:
        exponent = math.floor(self._scaled(unit, math.log2(self.low), math.log2(self.high) + 1))
        return int(self._clip(2**exponent))

    def neighbours(self, value: Any) -> tuple[int, ...]:
        return int(self._clip(value // 2)), int(self._clip(value * 2))


@dataclass(frozen=True)
class Choice(Parameter):
    """One of several values. Their order matters: PBT steps to a neighbour."""

    kind = "choice"
    options: tuple[Any, ...]

    def domain(self) -> list[Any]:
        return list(self.options)

    def ends(self) -> list[Any]:
        """Returns every option."""
        return list(self.options)

    def contains(self, value: Any) -> bool:
        return any(_same(value, option) for option in self.options)

    def index(self, value: Any) -> int:
        """Returns the position of an option.

        Raises:
            ValueError: the value is not an option.
        """
        for position, option in enumerate(self.options):
            if _same(value, option):
                return position
        raise ValueError(f"{value!r} is none of {list(self.options)}")

    def to_unit(self, value: Any) -> float:
        return (self.index(value) + 0.5) / len(self.options)

    def from_unit(self, unit: float) -> Any:
        last = len(self.options) - 1
        return self.options[min(max(math.floor(unit * len(self.options)), 0), last)]

    def neighbours(self, value: Any) -> tuple[Any, ...]:
        position = self.index(value)
        return self.options[max(position - 1, 0) : position + 2]


KINDS: dict[str, type[Parameter]] = {
    kind.kind: kind for kind in (Uniform, Log, OneMinusLog, Int, Pow2, Choice)
}


@dataclass(frozen=True)
class Constraint:
    """A relation that every configuration satisfies.

    Each side is a setting, a number, or a product of them: ``minibatch_size <= train_batch_size``,
    ``num_envs_per_env_runner * 2 divides train_batch_size``.
    """

    text: str
    left: tuple[str | float, ...]
    relation: str
    right: tuple[str | float, ...]

    RELATIONS: ClassVar[dict[str, Callable[[float, float], bool]]] = {
        "<=": lambda a, b: a <= b,
        ">=": lambda a, b: a >= b,
        "<": lambda a, b: a < b,
        ">": lambda a, b: a > b,
        "divides": lambda a, b: b % (a or 1) == 0,
    }

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Parses ``A <relation> B``; raises BadInput for any other text."""
        for relation in cls.RELATIONS:
            left, separator, right = text.partition(f" {relation} ")
            if separator:
                return cls(text, _factors(left), relation, _factors(right))
        raise BadInput(
            f"constraint {text!r}: write it as 'A <= B' with one of {', '.join(cls.RELATIONS)}"
        )

    def names(self) -> set[str]:
        """Returns the names of the settings in the relation."""
        return {f for f in (*self.left, *self.right) if isinstance(f, str)}

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Returns whether values satisfy it; true if one of its settings has no number."""
        if not all(_is_number(values.get(name)) for name in self.names()):
            return True
        return self.RELATIONS[self.relation](
            _product(self.left, values), _product(self.right, values)
        )

    def broken_by(self, values: Mapping[str, Any]) -> str:
        """Returns the message for a user whose values violate it."""
        shown = ", ".join(f"{name} = {values[name]}" for name in sorted(self.names()))
        return f"{self.text} does not hold: {shown}"


@dataclass(frozen=True)
class Space(Mapping[str, Parameter]):
    """Parameters by setting name, and the constraints between settings.

    Proposals stay inside the domains and satisfy the constraints; ``fixed`` holds the settings that
    are not searched, for constraints between both.

    >>> space = Space(
    ...     {
    ...         "minibatch_size": parse_parameter("minibatch_size", {"pow2": [32, 256]}),
    ...         "lr": parse_parameter("lr", {"log": [1e-5, 1e-1], "default": 1e-3}),
    ...     },
    ...     (Constraint.parse("minibatch_size <= train_batch_size"),),
    ... )
    >>> space.defaults()
    {'lr': 0.001}
    >>> values = {"lr": 1e-3, "minibatch_size": 256}
    >>> space.to_unit(values)
    array([0.875, 0.5  ])
    >>> space.from_unit([0.875, 0.5])["minibatch_size"]
    256
    >>> print(*space.broken({**values, "train_batch_size": 128}))
    minibatch_size <= train_batch_size does not hold: minibatch_size = 256, train_batch_size = 128
    >>> rng = np.random.default_rng(0)
    >>> space.sample(rng, fixed={"train_batch_size": 64})["minibatch_size"] <= 64
    True
    """

    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    constraints: tuple[Constraint, ...] = ()

    def __getitem__(self, name: str) -> Parameter:
        return self.parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def defaults(self) -> Values:
        """Returns the default of every parameter that has one."""
        return {name: p.default for name, p in self.items() if p.default is not None}

    def contains(self, values: Mapping[str, Any]) -> bool:
        """Returns whether values lie in every domain and satisfy every constraint."""
        inside = all(p.contains(values.get(name)) for name, p in self.items())
        return inside and not self.broken(values)

    def broken(self, values: Mapping[str, Any]) -> list[str]:
        """Returns a message for each constraint that values violate."""
        return [c.broken_by(values) for c in self.constraints if not c.holds(values)]

    def sample(self, rng: np.random.Generator, fixed: Mapping[str, Any] | None = None) -> Values:
        """Draws a random configuration.

        Raises:
            BadInput: no configuration was found that satisfies the constraints.
        """
        fixed = fixed or {}
        for _ in range(MAX_REJECTIONS):
            values = {name: p.sample(rng) for name, p in self.items()}
            if not self.broken({**fixed, **values}):
                return values
        raise BadInput(
            f"space: {MAX_REJECTIONS} random configurations all break "
            + "; ".join(c.text for c in self.constraints)
            + ". Widen a range or drop a constraint."
        )

    def perturb(
        self,
        values: Mapping[str, Any],
        rng: np.random.Generator,
        resample_probability: float = 0.25,
        fixed: Mapping[str, Any] | None = None,
    ) -> Values:
        """Takes PBT's explore step: resamples each value or moves it one step in its own scale.

        A proposal that violates a constraint or changes nothing is drawn again. In the second half
        of the draws some values stay unchanged, so that settings that constrain each other can
        move alone. If every draw fails, returns the donor's own values, which satisfy every
        constraint. Source: Jaderberg et al. 2017, section 4.1.1.
        """
        fixed = fixed or {}
        own = {name: values[name] for name in self}
        for attempt in range(MAX_REJECTIONS):
            proposal = {
                name: p.sample(rng)
                if rng.random() < resample_probability
                else p.perturb(own[name], rng)
                for name, p in self.items()
            }
            if attempt >= MAX_REJECTIONS // 2:
                kept = {name: own[name] for name in self if rng.random() < 0.5}
                proposal = {**proposal, **kept}
            if self.changes(own, proposal) and not self.broken({**fixed, **proposal}):
                return proposal
        return own

    def changes(self, values: Mapping[str, Any], proposal: Mapping[str, Any]) -> bool:
        """Returns whether a proposal differs from values in any setting of the space."""
        return any(not _same(values.get(name), proposal[name]) for name in self)

    def to_unit(self, values: Mapping[str, Any]) -> np.ndarray:
        """Maps a configuration to the unit cube, shape ``(len(self),)``; clips to each range.

        Raises:
            ValueError: a value is not an option of its choice.
        """
        return np.array([p.to_unit(values[name]) for name, p in self.items()])

    def from_unit(self, units: Sequence[float] | np.ndarray) -> Values:
        """Maps a point of the unit cube to its configuration."""
        return {
            name: p.from_unit(float(u)) for (name, p), u in zip(self.items(), units, strict=True)
        }

    def only(self, names: Sequence[str] | set[str]) -> Space:
        """Returns the space of the given settings alone; constraints stay."""
        return Space({n: p for n, p in self.items() if n in names}, self.constraints)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Returns the TOML form of every parameter."""
        return {name: p.to_dict() for name, p in self.items()}


def parse_parameter(name: str, body: object) -> Parameter:
    """Builds a parameter from its TOML form.

    >>> parse_parameter("lr", {"log": [1e-5, 1e-2], "default": 1e-3})
    Log(default=0.001, low=1e-05, high=0.01)
    >>> parse_parameter("fcnet_activation", {"choice": ["relu", "tanh"]}).neighbours("relu")
    ('relu', 'tanh')

    Raises:
        BadInput: with every problem of this parameter, each starting with its name.
    """
    if not isinstance(body, Mapping):
        raise BadInput(f"{name}: expected a table like {{ log = [1e-5, 1e-2] }}, got {body!r}")
    kinds = [key for key in body if key != "default"]
    if len(kinds) != 1 or kinds[0] not in KINDS:
        wrong = next((k for k in kinds if k not in KINDS), "")
        hint = did_you_mean(wrong, KINDS) if wrong else ""
        raise BadInput(
            f"{name}: expected exactly one kind of {', '.join(KINDS)}, got {kinds}.{hint}"
        )
    kind, domain = kinds[0], body[kinds[0]]
    problems = _choice_problems(domain) if kind == "choice" else _range_problems(kind, domain)
    if problems:
        raise BadInput([f"{name}: {problem}" for problem in problems])
    default = body.get("default")
    arguments = (tuple(domain),) if kind == "choice" else _bounds(kind, domain)
    parameter: Parameter = KINDS[kind](*arguments, default=default)
    if default is not None and not parameter.contains(default):
        raise BadInput(f"{name}: default {default!r} lies outside {kind} = {list(domain)}")
    return parameter


def _bounds(kind: str, domain: Sequence[float]) -> tuple[float, float]:
    low, high = domain
    return (low, high) if kind in {"int", "pow2"} else (float(low), float(high))


def _choice_problems(options: object) -> list[str]:
    if not isinstance(options, list | tuple) or not options:
        return ["a choice needs a list of at least one option, like { choice = ['relu', 'tanh'] }"]
    if len({repr(option) for option in options}) != len(options):
        return [f"choice = {list(options)} lists an option twice"]
    return []


def _range_problems(kind: str, domain: object) -> list[str]:
    if not isinstance(domain, list | tuple) or len(domain) != 2:
        return [f"{kind} needs two numbers, [low, high], got {domain!r}"]
    if not all(_is_number(bound) for bound in domain):
        return [f"{kind} = {list(domain)}: both bounds must be numbers"]
    if not all(math.isfinite(bound) for bound in domain):
        return [f"{kind} = {list(domain)}: both bounds must be finite"]
    low, high = domain
    problems = []
    if low > high:
        problems.append(f"{kind} = [{low}, {high}] is reversed: write [{high}, {low}]")
    if kind == "log" and low <= 0:
        problems.append(f"log = [{low}, {high}]: a log scale needs low > 0")
    if kind == "one_minus_log" and not (low >= 0 and high < 1):
        problems.append(f"one_minus_log = [{low}, {high}]: both bounds must lie in [0, 1)")
    if kind in {"int", "pow2"} and not all(isinstance(bound, int) for bound in domain):
        problems.append(f"{kind} = [{low}, {high}]: both bounds must be whole numbers")
    elif kind == "pow2" and not all(_is_pow2(bound) for bound in domain):
        problems.append(f"pow2 = [{low}, {high}]: both bounds must be powers of two")
    return problems


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _same(value: object, other: object) -> bool:
    """Compares two values and distinguishes 1 from True, as a choice must."""
    alike = type(value) is type(other) or (_is_number(value) and _is_number(other))
    return alike and bool(value == other)


def _is_pow2(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _factors(text: str) -> tuple[str | float, ...]:
    """Splits a product into its numbers and names."""
    return tuple(_factor(part.strip()) for part in text.split("*"))


def _factor(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _product(factors: Sequence[str | float], values: Mapping[str, Any]) -> float:
    return math.prod(float(values[f]) if isinstance(f, str) else f for f in factors)
