"""What every config of rltune adds to RLlib's: flat settings and the choice of the engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.rl_module import RLModuleSpec


class FlatConfig:
    """Mixed into RLlib's configs: flat settings that a space can hold, and the array engine.

    Attributes:
        frame_stack: observations joined along their last axis, the newest last.
        observation_form: how observations are read, see rltune.engine.codec.ObservationCodec.
        simulator: what steps the environments, "gymnasium" or "envpool", see rltune.envs.pool.
        exploit: set by a population's scheduler when the trial becomes a clone: ``donor``, the
            trial whose checkpoint it is restored from next, ``env_steps``, where its own clock
            goes on, and ``own_checkpoint``, the folder of its own last one, or None. Restored from
            a checkpoint of its own, a trial takes no notice of it.
        pauses: environment steps at which a scheduler may pause the trial: it ends the episodes
            that are running there where its metrics would else favour short ones.
        env_timeout: seconds that one call of the environments may take before their process ends,
            for a sweep to try the trial again; inf for no limit.
        ends_processes: whether the trial's process ends all that environments have started in it,
            once they are closed; not in a process of a user's, which starts others.
        crash_folder: where a process that ends so leaves its report; set by the trial.
        stock_reasons: what in this config the array engine does not do, found by ``validate``.
            Where there is any, RLlib's own engine runs.
    """

    runner_class: ClassVar[type]
    learner_subclass: ClassVar[type]
    module_class: ClassVar[type]
    catalog_class: ClassVar[type]
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
        #: A runner that dies or gives up is the trial's failure: it goes on from its checkpoint.
        #: RLlib would go on without that runner's steps, or without any.
        self.restart_failed_env_runners = False
        self.env_runner_cls: type | None = None
        self.stock_reasons: list[str] = []

    def get_default_learner_class(self) -> type:
        """The learner that takes arrays, or RLlib's."""
        if self.stock_reasons:
            return super().get_default_learner_class()  # type: ignore[misc, no-any-return]
        return self.learner_subclass

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The network of the engine that runs."""
        if self.stock_reasons:
            return super().get_default_rl_module_spec()  # type: ignore[misc]
        return self.array_module_spec()

    def array_module_spec(self) -> RLModuleSpec:
        """The network of the array engine."""
        return RLModuleSpec(module_class=self.module_class, catalog_class=self.catalog_class)

    def validate(self) -> None:
        """Chooses the engine. Raises ValueError for settings that cannot be.

        ``observation_filter`` and ``clip_rewards`` are RLlib's own settings, which its own engine
        takes and ignores: it is not given them.
        """
        ours = {None, self.runner_class}
        if self.env_runner_cls in ours:
            self.env_runner_cls = None
        self.stock_reasons = self.not_on_arrays()
        if not self.stock_reasons:
            self.env_runner_cls = self.runner_class
        super().validate()  # type: ignore[misc]
        alone = [name for name, asked in self.on_arrays_alone().items() if asked]
        if self.stock_reasons and alone:
            raise ValueError(
                f"{', '.join(alone)}: RLlib's own engine has no such thing, and rltune's, which "
                f"has, does not do {', '.join(self.stock_reasons)}"
            )

    def on_arrays_alone(self) -> dict[str, Any]:
        """Whether each setting asks for what the array engine alone has."""
        config: Any = self
        return {
            "observation_filter": config.observation_filter != "NoFilter",
            "clip_rewards": config.clip_rewards,
            "observation_form": config.observation_form != "auto",
        }

    def not_on_arrays(self) -> list[str]:
        """What in this config the array engine does not do."""
        config: Any = self
        spec = config._rl_module_spec
        callbacks = [name for name in vars(self) if name.startswith("callbacks_on_")]
        found = {
            "several agents or policies": config.is_multi_agent,
            "a recurrent network": config.model_config.get("use_lstm"),
            "a module of your own": spec is not None
            and not issubclass(getattr(spec, "module_class", None) or object, self.module_class),
            "custom connectors": config._env_to_module_connector
            or config._module_to_env_connector
            or config._learner_connector,
            "callbacks": config.callbacks_class is not RLlibCallback
            or any(getattr(self, name) for name in callbacks),
            "num_learners": config.num_learners,
            "evaluation_interval": config.evaluation_interval,
            "offline data": config.input_ != "sampler",
            "an env runner of your own": self.env_runner_cls is not None,
            "a learner of your own": config._learner_class is not None,
            "another framework than torch": config.framework_str != "torch",
            "the old API stack": not config.enable_env_runner_and_connector_v2,
        }
        return [reason for reason, applies in found.items() if applies]

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        flat = {key: getattr(self, key) for key in self.flat_model_keys}
        inherited: dict[str, Any] = super()._model_config_auto_includes  # type: ignore[misc]
        return inherited | {key: value for key, value in flat.items() if value is not None}
