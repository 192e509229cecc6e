"""Parameters by name, and the constraints between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rltune.errors import BadInput
from rltune.space.choices import Grid
from rltune.space.constraints import Constraint
from rltune.space.parameter import Parameter
from rltune.space.values import Values, same

#: Proposals drawn before a constrained space is declared unsatisfiable.
MAX_REJECTIONS = 1_000


@dataclass(frozen=True)
class Space(Mapping[str, Parameter]):
    """Parameters by setting name, and the constraints between settings.

    Proposals stay inside the domains and satisfy the constraints; ``fixed`` holds the settings that
    are not searched, for constraints between both.

    >>> from rltune.space import parse_parameter
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
        return any(not same(values.get(name), proposal[name]) for name in self)

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

    def grid(self) -> dict[str, Grid]:
        """Returns the parameters of kind grid, whose options are all tried equally often."""
        return {name: p for name, p in self.items() if isinstance(p, Grid)}

    def only(self, names: Sequence[str] | set[str]) -> Space:
        """Returns the space of the given settings alone; constraints stay."""
        return Space({n: p for n, p in self.items() if n in names}, self.constraints)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Returns the TOML form of every parameter."""
        return {name: p.to_dict() for name, p in self.items()}
