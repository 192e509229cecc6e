"""The tree-structured Parzen estimator of Optuna (Bergstra et al. 2011)."""

from __future__ import annotations

from optuna.samplers import TPESampler

from rltune.searchers.optuna_study import OptunaSearcher
from rltune.spec import RunSpec


def sampler(seed: int) -> TPESampler:
    """TPE over all settings together, which takes pending trials for bad ones."""
    return TPESampler(seed=seed, multivariate=True, constant_liar=True)


def build(spec: RunSpec) -> OptunaSearcher:
    """TPE."""
    return OptunaSearcher(spec, sampler, prunes=True)
