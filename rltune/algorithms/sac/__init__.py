"""SAC (Haarnoja et al. 2018) on arrays, with RLlib's loss."""

from rltune.algorithms.sac.algorithm import SAC, SACConfig
from rltune.algorithms.sac.learner import SACLearner
from rltune.algorithms.sac.module import ObsActionCatalog, SACModule
from rltune.algorithms.sac.runner import SACRunner

__all__ = ["SAC", "ObsActionCatalog", "SACConfig", "SACLearner", "SACModule", "SACRunner"]
