"""The Gaussian process of Optuna, with expected improvement (Ament et al. 2023)."""

from __future__ import annotations

from optuna.samplers import GPSampler

from rltune.searchers.optuna_study import OptunaSearcher
from rltune.spec import RunSpec


def sampler(seed: int) -> GPSampler:
    """Ten random trials, then the process; pending trials are integrated over."""
    return GPSampler(seed=seed)


class GPSearcher(OptunaSearcher):
    """A Gaussian process over the settings; a choice's options are equally far from each other."""

    proposals = 1


def build(spec: RunSpec) -> GPSearcher:
    """A Gaussian process."""
    return GPSearcher(spec, sampler, prunes=False)
