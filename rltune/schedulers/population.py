"""What the population schedulers share: Tune's PBT machinery, explored by rltune's own space."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from ray.tune.schedulers import PopulationBasedTraining
from ray.tune.schedulers.pbt import _PBTTrialState

from rltune.schedulers import METRIC, TIME, Decision, Plan
from rltune.schedulers.actors import KeepsActors
from rltune.settings import algorithm


class _AnySearcher(PopulationBasedTraining):
    """Tune's PBT, taking its members from any searcher; its own refuses all but random search."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._trial_state[trial] = _PBTTrialState(trial)


class Population(KeepsActors, _AnySearcher):
    """Asynchronous exploits: one of the lowest quarter becomes a changed copy of one of the best.

    Structural settings (the network's, the environments') go with the weights, unchanged. A
    member keeps its own count of environment steps: weights move, time does not.
    """

    def __init__(self, plan: Plan) -> None:
        spec = plan.spec
        super().__init__(
            time_attr=TIME,
            metric=METRIC,
            mode="max",
            perturbation_interval=spec.budget.perturb_every,
            custom_explore_fn=lambda config: config,  # Tune's own explore is not used
            quantile_fraction=0.25,
            log_config=False,  # decisions.jsonl holds them
            require_attrs=False,  # no episode may have ended yet
        )
        self._plan = plan
        self.space = algorithm(spec.algo).mutable(spec.space)
        self.rng = np.random.default_rng([spec.seed, 1])

    @abstractmethod
    def explore(self, trial: Any, donor: Any) -> dict[str, Any]:
        """New values of the mutable settings for a trial that takes a donor's weights."""

    def _exploit(self, tune_controller: Any, trial: Any, trial_to_clone: Any) -> None:
        state = self._trial_state[trial]
        now = state.last_train_time
        super()._exploit(tune_controller, trial, trial_to_clone)
        # Tune sets the clone's clock to its donor's.
        state.last_perturbation_time = state.last_train_time = now

    def _checkpoint_or_exploit(
        self, trial: Any, tune_controller: Any, upper_quantile: list[Any], lower_quantile: list[Any]
    ) -> None:
        """Clones one of the best over a trial of the lowest quarter; any other trial is saved.

        Tune saves none but the best, so that a trial which becomes the best later has nothing to
        give: in a population of four most exploits were skipped. A donor must be truly better.
        """
        donors = [donor for donor in upper_quantile if self._is_better(donor, trial)]
        if trial not in lower_quantile or not donors:
            super()._checkpoint_or_exploit(trial, tune_controller, [trial], [])
            return
        donor = donors[self.rng.integers(len(donors))]
        super()._checkpoint_or_exploit(trial, tune_controller, [donor], [trial])

    def _is_better(self, donor: Any, trial: Any) -> bool:
        state, other = self._trial_state[donor], self._trial_state[trial]
        return state.last_checkpoint is not None and state.last_score > other.last_score

    def _get_new_config(
        self, trial: Any, trial_to_clone: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        now = int(self._trial_state[trial].last_train_time)
        config = {
            **trial_to_clone.config,
            **self.explore(trial, trial_to_clone),
            "seed": trial.config["seed"],
            "env_steps_before": now,
        }
        searched = {name: config[name] for name in self._plan.spec.space}
        self._plan.decided(
            Decision(
                "exploit",
                str(trial),
                now,
                str(trial_to_clone),
                searched,
            )
        )
        return config, {}
