"""What the updates of every algorithm share: weights, Adam, limits, and who takes part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from rltune.engine.population.adam import Adam, clip, norms
from rltune.engine.population.captured import Graphs
from rltune.engine.population.direct import DirectStack
from rltune.engine.population.hyperparameters import Hyperparameters
from rltune.engine.population.streams import Streams
from rltune.engine.population.weights import Layout, Views, Weights

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Part:
    """Weights with an optimiser of their own.

    Attributes:
        name: of the optimiser.
        rate: name of its learning rate among the hyperparameters.
        weights: names of the weights, which lie side by side in a row.
    """

    name: str
    rate: str
    weights: tuple[str, ...]


@dataclass(frozen=True)
class Members:
    """What a learner of M members is made of.

    Attributes:
        weights: of each member by name, such as ``state_dict()`` returns.
        seeds: of each member's random numbers.
        device: where everything lives.
        dtype: of weights and losses.
    """

    weights: Sequence[Mapping[str, torch.Tensor]]
    seeds: Sequence[int]
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32

    def __len__(self) -> int:
        return len(self.weights)


class BatchLearner(ABC):
    """Updates of M members at once.

    A member whose loss or gradient is not finite is not updated from there on; every other keeps
    its numbers bit for bit (see ``alive`` and ``faults``).

    Attributes:
        graphs: what it runs on a GPU; closed when the learner is not needed any more.
        weights: the trained weights, in the order of the optimisers.
        hyper: the hyperparameters that act.
        streams: each member's random numbers.
        alive: bool, shape (M, 1); false from a member's first bad update on.
        faults: loss and gradient norm of that update, shape (M, 2).
        numbers: what shows how training goes, of each member's last update, each of shape (M,); nan
            before its first one.
        counted: who takes part in the current update, bool, shape (M, 1).
    """

    HYPERPARAMETERS: ClassVar[tuple[str, ...]]

    def __init__(
        self, members: Members, parts: Sequence[Part], clip_by: str, epsilon: float
    ) -> None:
        count, device, dtype = len(members), members.device, members.dtype
        self.device, self.dtype, self.clip_by = device, dtype, clip_by
        self.graphs = Graphs(device)
        names = [name for part in parts for name in part.weights]
        layout = Layout.of(members.weights[0], names)
        self.weights = Weights.stacked(members.weights, layout, device, dtype)
        self.parts = tuple(parts)
        self._spans = [layout.span(part.weights) for part in parts]
        self.optimizers = {
            part.name: Adam(self.weights.flat[:, span], epsilon)
            for part, span in zip(parts, self._spans, strict=True)
        }
        self.hyper = Hyperparameters(self.HYPERPARAMETERS, count, device, dtype)
        self.streams = Streams(members.seeds, device)
        self.alive = torch.ones(count, 1, device=device, dtype=torch.bool)
        self.faults = torch.zeros(count, 2, device=device, dtype=dtype)
        self.numbers: dict[str, torch.Tensor] = {}
        self.counted = torch.ones_like(self.alive)
        self._gradient = torch.zeros_like(self.weights.flat)
        #: The same memory by the names of the weights.
        self.gradient_views: Views = layout.views(self._gradient)
        #: Differentiates the losses, where their layers are called directly.
        self.direct: DirectStack | None = None

    def __len__(self) -> int:
        return len(self.weights.flat)

    @abstractmethod
    def act(self, obs: np.ndarray) -> np.ndarray:
        """Explores: actions (M, E, ...) for observations (M, E, ...); keeps both."""

    @abstractmethod
    def see_last(self, obs: np.ndarray, outcomes: np.ndarray) -> None:
        """Keeps the last observations of episodes where new ones began in the step that ended them.

        Args:
            obs: shape (M, E, ...), those of other copies are of no concern.
            outcomes: of the newest step, as of :meth:`learn`, shape (4, M, E).
        """

    @abstractmethod
    def learn(self, obs: np.ndarray, outcomes: np.ndarray, env_steps: np.ndarray) -> None:
        """Learns from the steps since the last call, T of them.

        Args:
            obs: observations after them, those of new episodes where they have begun,
                shape (M, E, ...).
            outcomes: rewards, and whether the task ended, the episode ended and the row is
                experience, shape (4, T, M, E).
            env_steps: of each member by now, its clock, shape (M,).
        """

    @abstractmethod
    def play(self, obs: np.ndarray) -> np.ndarray:
        """The same as :meth:`act`, of steps that nobody learns from."""

    @abstractmethod
    def acting(self) -> list[torch.Tensor]:
        """What acting changes of a member, each (M, ...): it belongs to its episodes."""

    @abstractmethod
    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that a member continues from, by name: the first axis is the members."""

    def shared_tensors(self) -> dict[str, torch.Tensor]:
        """Of :meth:`tensors` those of every algorithm."""
        found = {"weights": self.weights.flat, "streams": self.streams.counts}
        for name, optimizer in self.optimizers.items():
            found |= {f"{name}/{key}": value for key, value in optimizer.tensors.items()}
        return found

    def keep(self, **numbers: torch.Tensor) -> None:
        """Keeps numbers of this update, each of shape (M,), where they can be read later."""
        for name, value in numbers.items():
            if name not in self.numbers:
                self.numbers[name] = torch.full_like(value, torch.nan)
            before = self.numbers[name]
            before.copy_(torch.where(self.counted[:, 0], value, before))

    def differentiate(self, losses: torch.Tensor) -> dict[str, torch.Tensor]:
        """The gradients of losses (M,), each (M, ...), in memory that the next call overwrites."""
        if self.direct:
            self.direct.backward(losses.sum())
        else:
            self.weights.gradient(losses.sum(), self._gradient)
        return dict(self.gradient_views)

    def apply(self, losses: torch.Tensor, due: torch.Tensor | None = None) -> None:
        """One update of every member that is alive and due.

        Args:
            losses: shape (M,).
            due: bool, shape (M, 1); None for all.
        """
        self.differentiate(losses)
        with torch.no_grad():
            losses = losses.detach().unsqueeze(1)
            lengths = [norms(self._gradient[:, span]) for span in self._spans]
            length = torch.linalg.vector_norm(torch.cat(lengths, 1), dim=1, keepdim=True)
            finite = losses.isfinite() & length.isfinite()
            active = self.alive if due is None else self.alive & due
            fault = torch.cat([losses, length], 1)
            self.faults.copy_(torch.where(active & ~finite, fault, self.faults))
            self.alive.logical_and_(finite | ~active)
            active = active & finite
            for part, span, norm in zip(self.parts, self._spans, lengths, strict=True):
                gradient = self._gradient[:, span]
                self._limit(gradient, norm, part)
                self.optimizers[part.name].step(gradient, self.hyper[part.rate], active)
            self.keep(total_loss=losses[:, 0], gradient_norm=length[:, 0])

    def _limit(self, gradient: torch.Tensor, norm: torch.Tensor, part: Part) -> None:
        limit = self.hyper["grad_clip"]
        if self.clip_by == "global_norm":
            clip(gradient, norm, limit)
        elif self.clip_by == "value":
            torch.clamp(gradient, -limit, limit, out=gradient)
        else:  # "norm": of each tensor by itself
            named = Layout({name: self.weights.layout.shapes[name] for name in part.weights})
            for view in named.views(gradient).values():
                flat = view.flatten(1)
                clip(flat, norms(flat), limit)

    def read(self) -> dict[str, np.ndarray]:
        """The numbers of the last update, read from the device in one copy, each of shape (M,)."""
        if not self.numbers:
            return {}
        table = torch.stack(list(self.numbers.values())).double().cpu().numpy()
        return dict(zip(self.numbers, table, strict=True))

    def network(self) -> dict[str, torch.Tensor]:
        """What makes up the members' networks, by the name in ``state_dict()``: (M, ...) each."""
        return dict(self.weights.views)

    def reset_member(self, member: int) -> None:
        """Makes a member one that has never been updated, but for its network."""
        for optimizer in self.optimizers.values():
            for rows in optimizer.tensors.values():
                rows[member] = 0

    def restart_member(self, member: int, seed: int, env_steps: int) -> None:
        """Restarts a member's random numbers: its environments were reset, at this clock."""
        self.streams.reseed(member, seed)
        for rows in self.numbers.values():
            rows[member] = torch.nan
        self.leave_episodes(member)

    def leave_episodes(self, member: int) -> None:  # noqa: B027
        """New episodes begin in a member's environments, before those that ran have ended."""

    def start(self, members: Sequence[int]) -> None:
        """Lets members take part in updates again."""
        at = torch.tensor(members, device=self.device, dtype=torch.int64)
        self.alive[at] = True
        self.faults[at] = 0

    def stop(self, members: Sequence[int]) -> None:
        """Excludes members from every later update: all that they continue from stays as it is."""
        self.alive[torch.tensor(members, device=self.device, dtype=torch.int64)] = False

    @torch.no_grad()
    def copy_members(self, donors: Sequence[int], clones: Sequence[int]) -> None:
        """Makes members copies of others; a clone keeps its own stream of random numbers."""
        source = torch.tensor(donors, device=self.device)
        target = torch.tensor(clones, device=self.device)
        for name, rows in self.tensors().items():
            if not name.startswith("streams"):
                rows.index_copy_(0, target, rows.index_select(0, source))
        self.alive[target] = self.alive[source]
        self.faults[target] = self.faults[source]
