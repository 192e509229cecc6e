"""The task of reinforcement learning: an algorithm of RLlib's learns to act in an environment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rltune import algorithms
from rltune.catalog.algorithms import algorithm
from rltune.catalog.environments import check_there
from rltune.catalog.probe import probe_of
from rltune.engine.codec import divisor
from rltune.engine.episodes import REWARD, reported
from rltune.engine.metric_names import LEARNER
from rltune.envs import arguments
from rltune.errors import NothingUsable
from rltune.request.rehearsal import rehearse
from rltune.request.resolve import check_simulator
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import Summary
from rltune.schedulers import row
from rltune.space import Space
from rltune.spec import CANDIDATES
from rltune.tasks.base import Evaluated, Task, not_watched


class RLTask(Task):
    """Trains policies; the best one is chosen among checkpoints and scored on fresh seeds."""

    evaluates = True

    @property
    def trainable(self) -> type:
        """The algorithm's class, an :class:`rltune.algorithms.rl_trainable.RLTrainable`."""
        trainable: type = getattr(algorithms, algorithm(self.spec.algo).class_name)
        return trainable

    def config(self, pauses: Sequence[int], cpus: float) -> dict[str, Any]:
        """The part of a trial's RLlib config that no searcher chooses."""
        spec = self.spec
        return {
            "env": spec.env_id,
            "env_config": arguments.packed(spec.env_options.env_args),
            "num_cpus_for_main_process": cpus,
            "threads": max(1, int(spec.resources.cpus_per_trial)),
            "num_gpus_per_learner": spec.resources.gpus_per_trial,
            "memory_per_trial": spec.resources.memory_per_trial,
            "placement_strategy": spec.resources.placement.upper(),
            "env_timeout": spec.env_options.env_timeout,
            "ends_processes": True,
            "simulator": spec.env_options.simulator,
            "env_processes": spec.env_options.env_processes or 1,
            "pauses": pauses,
            "min_sample_timesteps_per_iteration": self.steps_per_report,
        }

    @property
    def cpus(self) -> float:
        """CPUs of one trial, its environment runners' included."""
        return self.spec.cpus_of_a_trial

    def bundles(self, cpus: float) -> list[dict[str, float]]:
        """The trial's own process, then its environment runners."""
        runners = round(self.cpus - self.spec.resources.cpus_per_trial)
        return [*super().bundles(cpus), *([{"CPU": 1.0}] * runners)]

    def mutable(self) -> Space:
        """All but structural settings, which would need another network or environment."""
        return algorithm(self.spec.algo).mutable(self.spec.space)

    def checkpoint_frequency(self) -> int:
        """One checkpoint an interval; none where a population's scheduler saves its members."""
        budget = self.spec.budget
        if row(budget.scheduler).population:
            return 0
        return max(1, round(budget.perturb_every / self.steps_per_report))

    @property
    def steps_per_report(self) -> int:
        """Environment steps between two reports, at least."""
        return int(self.spec.settings["min_sample_timesteps_per_iteration"])

    def rehearse(self) -> None:
        """Lets the untrained network play until an episode has ended."""
        rehearse(self.spec)

    def check_here(self, where: str) -> None:
        """Checks that the environment and what steps it are on this machine."""
        check_there(self.spec, where)
        check_simulator(self.spec)

    def identity(self) -> dict[str, Any]:
        """The algorithm and the environment, of which an instance is made to see its spaces."""
        spec = self.spec
        probe = probe_of(spec.env_id, spec.env_options.env_args)
        read_as, _ = probe.spaces(spec.settings)
        return {
            "algo": spec.algo,
            "env": spec.env_id,
            "env.observation_space": str(probe.observation_space),
            "env.action_space": str(probe.action_space),
            "env.read_as": f"{read_as}, divided by {divisor(read_as):g}",
            "env.max_episode_steps": probe.max_episode_steps,
        }

    def metrics(self, result: Mapping[str, Any]) -> dict[str, float]:
        """The means over the newest episodes, by name."""
        means = {REWARD: float(result[REWARD])} if REWARD in result else {}
        return means | reported(result)

    def learner(self, result: Mapping[str, Any]) -> dict[str, float]:
        """Losses, entropy, gradient norm and the like, as ``learner/<name>``."""
        return {f"{LEARNER}/{name}": value for name, value in result.get(LEARNER, {}).items()}

    def may_come_later(self, result: Mapping[str, Any]) -> bool:
        """Whether no episode has ended yet."""
        return REWARD not in result

    def conclude(
        self,
        folder: RunFolder,
        summary: Summary,
        trials: Collection[str] | None = None,
        evaluated: Evaluated = not_watched,
    ) -> Summary:
        """Scores the best policy, and writes its settings as a preset.

        Where the environment lets none be scored, the one with the best record stays.
        """
        # With torch and Ray: a resume is refused without waiting for them.
        from rltune.policies import evaluation
        from rltune.policies.outcome import check_any_score, with_best
        from rltune.policies.rivals import rivals

        spec = self.spec
        candidates = folder.checkpoints(trials)[:CANDIDATES]
        if not candidates:
            raise NothingUsable("no trial left a policy behind")
        played = evaluation.selection_seeds(spec.seed, spec.evaluation.selection_episodes)
        seeds_of_score = evaluation.evaluation_seeds(spec.seed, spec.evaluation.episodes)
        found = evaluation.score_checkpoints(
            folder, candidates, played, partial(evaluated, "choosing")
        )
        chosen = evaluation.choose(folder, found, seeds_of_score, partial(evaluated, "scoring"))
        check_any_score(chosen)
        best = chosen.candidate or found[0]
        folder.keep_best(best.checkpoint, trial=best.checkpoint.parts[-3])
        summary = replace(summary, unscored=chosen.unscored)
        if (trials is None or spec.objective) and chosen.evaluation is not None:
            ranked = [one.checkpoint for one in evaluation.ranked(folder, found)]
            seeds = seeds_of_score[: spec.evaluation.selection_episodes]
            held_against = rivals(folder, best.checkpoint, ranked, seeds)
            summary = replace(summary, rivals=held_against)
        return with_best(summary, spec, folder, best.score, chosen.evaluation)
