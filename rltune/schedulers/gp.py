"""The Gaussian process of PB2: time-varying, over numbers and categories, with learnt noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]

#: Added to the diagonal: repeated points must not make the matrix singular.
JITTER = 1e-6
#: Bounds of every logarithm of a hyperparameter, wide enough to say "all" and "nothing".
LOG_BOUNDS = (-12.0, 6.0)


@dataclass(frozen=True)
class Prior:
    """Normal priors on the logarithms of a process's hyperparameters.

    A handful of points fits nearly any hyperparameters; the priors keep the fit sane until there
    are more. The order is: signal variance, noise variance, then the decay of each input.

    Attributes:
        mean: shape ``(2 + inputs,)``.
        std: shape ``(2 + inputs,)``.
    """

    mean: Array
    std: Array

    @classmethod
    def of(cls, ordered: int, categories: int) -> Prior:
        """For targets of unit variance and the inputs (time, return, ordered..., categories...).

        Time forgets by epsilon = 0.1 an interval (the paper's value); a length scale is 0.4 of the
        cube's side, and grows with its diagonal (Hvarfner et al. 2024); two categories correlate
        by a third.
        """
        position = 0.5 / (0.4**2 * max(ordered, 1))
        decays = [0.05, 0.5, *[position] * ordered, *[1.0] * categories]
        mean = np.log([1.0, 0.1, *decays])
        return cls(mean, np.array([0.5, 1.0, *[1.0] * len(decays)]))


class GaussianProcess:
    """A process whose covariance is ``variance * exp(-sum of decay_j * distance_j)``.

    The distance is ``|t - t'|`` in time, so that the factor ``(1 - epsilon) ** (|t - t'| / 2)`` of
    the time-varying kernel is ``exp(-decay * |t - t'|)`` (Bogunovic et al. 2016); the square of
    the difference for numbers; and 0 or 1, equal or not, for categories: the product of a squared
    exponential and an overlap kernel (Parker-Holder et al. 2021).

    Args:
        inputs: shape ``(n, d)``: time in its first column, categories, as their positions, in its
            last ones.
        targets: shape ``(n,)``, of about unit variance.
        categories: how many columns are categories.
    """

    def __init__(self, inputs: Array, targets: Array, categories: int = 0) -> None:
        self.inputs = inputs
        self.targets = targets
        self.categories = categories
        self.hyperparameters = self._fit()
        noise = np.exp(self.hyperparameters[1]) + JITTER
        covariance = self._covariance(self._distances(inputs, inputs))
        self._factor = cho_factor(covariance + noise * np.eye(len(inputs)), lower=True)
        self._weights = cho_solve(self._factor, targets)

    def mean(self, inputs: Array) -> Array:
        """Mean of the posterior, shape ``(n,)`` for n inputs."""
        values: Array = self._covariance(self._distances(inputs, self.inputs)) @ self._weights
        return values

    def left_out(self) -> Array:
        """Mean of each target as told by all others (Rasmussen and Williams 2006, eq. 5.12)."""
        inverse = cho_solve(self._factor, np.eye(len(self.inputs)))
        predicted: Array = self.targets - self._weights / np.diag(inverse)
        return predicted

    def posterior(self, inputs: Array) -> tuple[Array, Array]:
        """Mean and covariance, without the noise: shapes ``(n,)`` and ``(n, n)`` for n inputs."""
        cross = self._covariance(self._distances(inputs, self.inputs))
        reduced = solve_triangular(self._factor[0], cross.T, lower=True)
        prior = self._covariance(self._distances(inputs, inputs))
        return cross @ self._weights, prior - reduced.T @ reduced

    def _distances(self, left: Array, right: Array) -> Array:
        """Shape ``(d, len(left), len(right))``."""
        difference = np.abs(left.T[:, :, None] - right.T[:, None, :])
        first_category = len(difference) - self.categories
        difference[1:first_category] **= 2
        difference[first_category:] = difference[first_category:] > 0
        return difference

    def _covariance(self, distances: Array, hyperparameters: Array | None = None) -> Array:
        theta = self.hyperparameters if hyperparameters is None else hyperparameters
        exponent: Array = np.tensordot(np.exp(theta[2:]), distances, axes=1)
        covariance: Array = np.exp(theta[0] - exponent)
        return covariance

    def _fit(self) -> Array:
        distances = self._distances(self.inputs, self.inputs)
        ordered = self.inputs.shape[1] - 2 - self.categories
        prior = Prior.of(ordered, self.categories)
        found = minimize(
            lambda theta: self._loss(theta, distances, prior),
            prior.mean,
            jac=True,
            method="L-BFGS-B",
            bounds=[LOG_BOUNDS] * len(prior.mean),
            options={"maxiter": 50},
        )
        best: Array = found.x
        return best

    def _loss(self, theta: Array, distances: Array, prior: Prior) -> tuple[float, Array]:
        """Minus the log posterior of the hyperparameters, and its gradient."""
        covariance = self._covariance(distances, theta)
        noise, eye = np.exp(theta[1]), np.eye(len(covariance))
        factor = cho_factor(covariance + (noise + JITTER) * eye, lower=True)
        inverse = cho_solve(factor, eye)
        weights = inverse @ self.targets
        off = (theta - prior.mean) / prior.std
        loss = 0.5 * self.targets @ weights + np.log(np.diag(factor[0])).sum() + 0.5 * off @ off
        slope = 0.5 * (inverse - np.outer(weights, weights))
        by_signal = slope * covariance
        by_decay = -np.exp(theta[2:]) * np.tensordot(distances, by_signal, axes=2)
        gradient = np.array([by_signal.sum(), noise * np.trace(slope), *by_decay])
        return float(loss), gradient + off / prior.std
