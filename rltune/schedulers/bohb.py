"""The scheduler's half of BOHB (Falkner et al. 2018, arXiv 1807.01774): HyperBand's brackets.

BOHB starts the trials of HyperBand where a model of earlier results expects good ones. The model is
the searcher ``bohb``; the brackets are HyperBand's, the one that stops earliest first, so that the
model has many results early. With any other searcher this is HyperBand, and the request says so.
"""

from __future__ import annotations

from rltune.schedulers.hyperband import build

__all__ = ["build"]
