"""What every config of rltune adds to RLlib's: flat settings and the choice of the engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rltune.algorithms.config_attributes import Table
from rltune.algorithms.config_changes import reasons_for_fallback, refusals


class FlatConfigMixin:
    """Mixed into RLlib's configs: flat settings that a space can hold, and the array engine.

    The last seven attributes are set on the class of each algorithm's config.

    Attributes:
        frame_stack: observations joined along their last axis, the newest last.
        observation_form: how observations are read, see rltune.engine.codec.ObservationCodec.
        simulator: what steps the environments, "gymnasium" or "envpool", see rltune.envs.pool.
        env_processes: processes that step the copies, at most one a copy, with the results that one
            process has. Excludes ``num_env_runners``.
        exploit: set by a population's scheduler when the trial becomes a clone: ``donor``, the
            trial whose checkpoint it is restored from next, ``env_steps``, where its own clock
            continues, and ``own_checkpoint``, the folder of its own last one, or None. A trial that
            is restored from a checkpoint of its own ignores it.
        pauses: environment steps at which a scheduler may pause the trial: it ends the episodes
            that are running there where its metrics would else favour short ones.
        env_timeout: seconds that one call of the environments may take before their process ends,
            for a sweep to try the trial again; inf for no limit.
        ends_processes: whether the trial's process ends all that environments have started in it,
            once they are closed; not in a process of a user's, which starts others.
        crash_folder: where a process that ends so leaves its report; set by the trial.
        fallback_reasons: what in this config the array engine does not do, found by ``validate``.
            Where there is any, RLlib's own engine runs.
        algorithm: the name of its row in rltune.catalog.algorithms.
        runner_class: what steps its environments, an ArrayEnvRunner.
        learner_subclass: RLlib's learner with ArrayLearnerMixin.
        module_class: RLlib's network with NormalisationMixin.
        catalog_class: RLlib's catalog with ImageEncoderMixin, which builds the encoders.
        config_attributes: how RLlib's attributes are treated, by name.
        flat_model_keys: settings that the network's config gets.
    """

    algorithm: ClassVar[str]
    runner_class: ClassVar[type]
    learner_subclass: ClassVar[type]
    module_class: ClassVar[type]
    catalog_class: ClassVar[type]
    config_attributes: ClassVar[Table]
    flat_model_keys: ClassVar[tuple[str, ...]] = (
        "fcnet_hiddens",
        "fcnet_activation",
        "observation_filter",
    )

    def __init__(self, algo_class: type) -> None:
        super().__init__(algo_class=algo_class)  # type: ignore[call-arg]
        self.fcnet_hiddens: list[int] | None = None
        self.fcnet_activation: str | None = None
        self.frame_stack = 1
        self.observation_form = "auto"
        self.simulator = "gymnasium"
        self.env_processes = 1
        self.exploit: dict[str, Any] | None = None
        self.pauses: Sequence[int] = ()
        #: Threads that a trial computes with; None: the CPUs that Ray sets aside for it, which are
        #: more than it is to use where that is what keeps others from running beside it.
        self.threads: int | None = None
        #: Bytes of memory that Ray sets aside for the trial's own process.
        self.memory_per_trial = 0
        self.num_env_runners = 0
        #: Reports come at fixed steps, however fast the machine is (RLlib's SAC: every second).
        self.min_time_s_per_iteration: float | None = None
        self.env_timeout = math.inf
        self.ends_processes = False
        self.crash_folder: str | None = None
        #: RLlib's SAC has a number here, which would win over train_batch_size.
        self._train_batch_size_per_learner: int | None = None
        #: A runner that dies or gives up is the trial's failure: it continues from its checkpoint.
        #: RLlib would continue without that runner's steps, or without any.
        self.restart_failed_env_runners = False
        self.env_runner_cls: type | None = None
        self.fallback_reasons: list[str] = []

    def get_default_learner_class(self) -> type:
        """The learner that takes arrays, or RLlib's."""
        if self.fallback_reasons:
            return super().get_default_learner_class()  # type: ignore[misc, no-any-return]
        return self.learner_subclass

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The network of the engine that runs."""
        if self.fallback_reasons:
            return super().get_default_rl_module_spec()  # type: ignore[misc]
        return self.array_module_spec()

    def array_module_spec(self) -> RLModuleSpec:
        """The network of the array engine."""
        return RLModuleSpec(module_class=self.module_class, catalog_class=self.catalog_class)

    def validate(self) -> None:
        """Chooses the engine. Raises ValueError for settings that cannot be.

        What RLlib accepts and does not act on is refused (see config_attributes), unless
        ``experimental(_validate_config=False)`` asks for a warning alone.

        ``observation_filter`` and ``clip_rewards`` are RLlib's own settings, which its own engine
        takes and ignores: it is not given them.
        """
        if self.env_runner_cls is self.runner_class:
            self.env_runner_cls = None
        config: Any = self
        if self._train_batch_size_per_learner is not None:  # it wins, as in RLlib
            config.train_batch_size = config.total_train_batch_size
        if refused := refusals(self):
            config._value_error("\n".join(refused))
        if self.env_processes > 1 and self.num_env_runners:
            config._value_error("env_processes: the environments are stepped by num_env_runners")
        self.fallback_reasons = self.find_fallback_reasons()
        if not self.fallback_reasons:
            self.env_runner_cls = self.runner_class
        super().validate()  # type: ignore[misc]
        alone = [name for name, asked in self.array_engine_only().items() if asked]
        # RLlib also makes a config of evaluation, where nothing evaluates, too.
        if self.fallback_reasons and alone and not config.in_evaluation:
            raise ValueError(
                f"{', '.join(alone)}: RLlib's own engine has no such thing, and rltune's, which "
                f"has, does not do {', '.join(self.fallback_reasons)}"
            )

    def array_engine_only(self) -> dict[str, Any]:
        """Whether each setting asks for what the array engine alone has."""
        config: Any = self
        return {
            "observation_filter": config.observation_filter != "NoFilter",
            "clip_rewards": config.clip_rewards,
            "observation_form": config.observation_form != "auto",
            "env_processes": config.env_processes > 1,
        }

    def find_fallback_reasons(self) -> list[str]:
        """What in this config the array engine does not do."""
        config: Any = self
        spec = config._rl_module_spec
        own_module = spec is not None and not issubclass(
            getattr(spec, "module_class", None) or object, self.module_class
        )
        return [
            *(["several agents or policies"] if config.is_multi_agent else []),
            *(["a module of your own"] if own_module else []),
            *reasons_for_fallback(config),
        ]

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        flat = {key: getattr(self, key) for key in self.flat_model_keys}
        inherited: dict[str, Any] = super()._model_config_auto_includes  # type: ignore[misc]
        return inherited | {key: value for key, value in flat.items() if value is not None}
