"""A group of members on one device: they sample and learn together, and report one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from rltune.engine.divergence import Divergence
from rltune.engine.episodes import Window, pause_matters
from rltune.engine.population.learner import BatchLearner
from rltune.engine.population.sampler import Sampler


class Group:
    """Members that train in step with each other.

    Args:
        learner: of all members.
        sampler: of their environments.
        steps: each copy takes between two calls of the learner, T.
        hyperparameters: every member's at its environment steps (M,), shape (names, M).
        window: episodes in a reported mean.

    Attributes:
        windows: each member's newest episodes.
    """

    def __init__(
        self,
        learner: BatchLearner,
        sampler: Sampler,
        steps: int,
        hyperparameters: Callable[[np.ndarray], np.ndarray],
        window: int,
    ) -> None:
        self.learner = learner
        self.sampler = sampler
        self.windows = [Window(window) for _ in range(len(learner))]
        self._hyperparameters = hyperparameters
        self._outcomes = np.zeros((4, steps, *sampler.obs.shape[:2]), dtype=np.float32)
        self._steps = steps
        self._written: np.ndarray | None = None
        self._reported_at = sampler.env_steps.copy()
        #: Lengths of each member's episodes that have ended since its last pause.
        self._ended: list[list[int]] = [[] for _ in range(len(learner))]

    def __len__(self) -> int:
        return len(self.learner)

    @property
    def env_steps(self) -> np.ndarray:
        """Each member's clock, shape (M,)."""
        return self.sampler.env_steps

    @property
    def gone(self) -> set[int]:
        """Members that train no more, for what their environments said or raised."""
        return {*self.sampler.diverged, *self.sampler.failed}

    def round(self) -> None:
        """``steps`` steps of every copy, and what is learned from them."""
        sampler, learner = self.sampler, self.learner
        self.write_hyperparameters()
        for t in range(self._steps):
            sampler.step(learner.act(sampler.obs), self._outcomes[:, t])
            if sampler.last_obs is not None:
                learner.see_last(sampler.last_obs, self._outcomes[:, t])
        if self.gone:
            learner.stop(list(self.gone))
        learner.learn(sampler.obs, self._outcomes, sampler.env_steps)

    def train(self, env_steps: int, members: Sequence[int]) -> list[int]:
        """Rounds until the first of some members is due for a report, or has diverged.

        A member is due once it has taken ``env_steps`` steps since it was last: what it does
        between two reports does not depend on the others.

        Returns:
            Those that are due.
        """
        while True:
            self.round()
            ended = [m for m in members if m in self.gone]
            since = self.env_steps - self._reported_at
            due = [m for m in members if since[m] >= env_steps]
            if due or ended:
                break
        for window, own, episodes in zip(
            self.windows, self._ended, self.sampler.take_episodes(), strict=True
        ):
            window.add(episodes)
            own += [episode.length for episode in episodes]
        found = sorted({*due, *ended})
        self._reported_at[found] = self.env_steps[found]
        return found

    def finish_episodes(self, members: Sequence[int]) -> dict[int, int]:
        """Ends an interval of members with whole episodes where their means would else be biased.

        See :func:`rltune.engine.episodes.pause_matters`: a pause would end every running episode.
        Nobody learns from these steps, and they are on no clock.

        Returns:
            The steps that it took, by member.
        """
        running = self.sampler.running
        chosen = [
            m
            for m in members
            if pause_matters(self._ended[m], running[m].tolist(), self.windows[m].size)
        ]
        for m in members:
            self._ended[m] = []
        if not chosen:
            return {}
        others = torch.tensor([m for m in range(len(self)) if m not in chosen], dtype=torch.int64)
        kept = [rows[others].clone() for rows in self.learner.acting()]
        finished = self.sampler.finish(chosen, self.learner.play)
        for rows, before in zip(self.learner.acting(), kept, strict=True):
            rows[others] = before
        for m, each in finished.items():
            self.learner.leave_episodes(m)
            self.windows[m].add(each.episodes, late=True)
        return {m: each.env_steps for m, each in finished.items()}

    def set_hyperparameters(self, of: Callable[[np.ndarray], np.ndarray]) -> None:
        """Replaces what the hyperparameters come from; they are written before the next round."""
        self._hyperparameters, self._written = of, None

    def settle(
        self, member: int, network: Mapping[str, torch.Tensor], seed: int, env_steps: int
    ) -> None:
        """Makes a member a new one, with a network that has never been updated.

        Args:
            network: as ``state_dict()`` returns it.
            seed: of its random numbers and environments.
            env_steps: its clock.
        """
        with torch.no_grad():
            for name, rows in self.learner.network().items():
                rows[member] = network[name]
        self.learner.reset_member(member)
        self.windows[member].clear()
        self.restart(member, seed, env_steps)

    def restart(self, member: int, seed: int, env_steps: int) -> None:
        """Begins new episodes and new random numbers for a member, from a seed."""
        self.learner.restart_member(member, seed, env_steps)
        self.sampler.restart(member, seed, env_steps)
        self._reported_at[member] = env_steps
        self._ended[member] = []

    def write_hyperparameters(self) -> None:
        """Brings every hyperparameter to its value at the members' clocks."""
        values = self._hyperparameters(self.env_steps)
        if self._written is None or not np.array_equal(values, self._written):
            self.learner.hyper.write(values)
            self._written = values

    def diverged(self) -> dict[int, Divergence]:
        """What was not finite, by member."""
        found = dict(self.sampler.diverged)
        alive = self.learner.alive[:, 0].cpu().numpy()
        if not alive.all():
            faults = self.learner.faults.double().cpu().numpy()
            for member in np.flatnonzero(~alive).tolist():
                loss, norm = faults[member].tolist()
                what, value = ("gradient", norm) if np.isfinite(loss) else ("loss", loss)
                if not np.isfinite([loss, norm]).all():
                    at = int(self.env_steps[member])
                    found.setdefault(member, Divergence(what, value, at))
        return found
