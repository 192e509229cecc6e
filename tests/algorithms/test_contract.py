"""The contract of an algorithm, over every row of the catalog: see RLTrainable."""

from __future__ import annotations

import pytest
from quick import make
from ray.rllib.algorithms import Algorithm as RLlibAlgorithm

from rltune import algorithms
from rltune.algorithms.audit import mismatches
from rltune.algorithms.config import FlatConfigMixin
from rltune.algorithms.env_runner import ArrayEnvRunner
from rltune.algorithms.learner import ArrayLearnerMixin
from rltune.algorithms.rl_trainable import RLTrainable
from rltune.catalog.algorithms import ALGORITHMS
from rltune.engine.normalisation import NormalisationMixin


def test_the_package_offers_every_algorithm() -> None:
    classes = {row.class_name for row in ALGORITHMS.values()}
    assert set(algorithms.__all__) == {*classes, "register_envs"}


@pytest.mark.parametrize("algo", ALGORITHMS)
class TestEveryAlgorithm:
    """A new algorithm is tested by existing."""

    def test_extends_rllibs_by_rltunes(self, algo: str) -> None:
        trainable = getattr(algorithms, ALGORITHMS[algo].class_name)
        assert trainable.__module__.startswith(f"rltune.algorithms.{algo}.")
        assert issubclass(trainable, RLTrainable)
        assert issubclass(trainable, RLlibAlgorithm)
        assert not getattr(trainable, "__abstractmethods__", None)
        assert trainable.name == algo

    def test_names_the_classes_of_its_engine(self, algo: str) -> None:
        config_class = getattr(algorithms, ALGORITHMS[algo].class_name).config_class
        assert issubclass(config_class, FlatConfigMixin)
        assert config_class.algorithm == algo
        assert issubclass(config_class.runner_class, ArrayEnvRunner)
        assert issubclass(config_class.learner_subclass, ArrayLearnerMixin)
        assert issubclass(config_class.module_class, NormalisationMixin)

    def test_has_every_setting_in_its_config(self, algo: str) -> None:
        config = getattr(algorithms, ALGORITHMS[algo].class_name).get_default_config()
        assert set(ALGORITHMS[algo].settings) <= set(vars(config))

    @pytest.mark.usefixtures("ray_session")
    def test_trains_on_arrays_and_reads_every_setting_back(self, algo: str) -> None:
        member = make(algo)
        try:
            result = member.train()
            assert not member.config.fallback_reasons
            assert set(result["settings"]) == set(ALGORITHMS[algo].settings)
            assert mismatches(algo, member.requested(), member.readings(), member.env_steps) == []
        finally:
            member.cleanup()
