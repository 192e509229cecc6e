"""Exports the best policy to ONNX and checks that the file acts the same."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from rltune import envs
from rltune._version import __version__
from rltune.algorithms.policy import Policy
from rltune.engine.codec import sample
from rltune.engine.normalisation import ILLEGAL
from rltune.errors import EnvironmentFailed, NothingUsable, described
from rltune.policies import output_files
from rltune.policies.evaluation import best_policy, selection_seeds
from rltune.processes.watchdog import Boundary, where
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec

#: Number of observations on which both must act the same.
OBSERVATIONS = 1_000
#: Accepted relative difference: a float32 sum depends on its order.
TOLERANCE = 1e-5
#: Share of random actions while collecting observations: the policy alone visits few states.
RANDOM_SHARE = 0.2
#: Number of environments that observations are collected from, for several episodes.
ENVS = 10


@dataclass(frozen=True)
class Agreement:
    """Comparison of an exported policy with its original.

    Attributes:
        observations: number of compared observations.
        equal: number of observations with the same action, within :data:`TOLERANCE`.
        difference: largest difference; for continuous actions as a share of their range, for
            discrete ones how much higher the policy rates its own action, as a share of the rating.
    """

    observations: int
    equal: int
    difference: float

    def to_dict(self) -> dict[str, Any]:
        """Returns a dict for JSON."""
        return asdict(self)


def to_onnx(folder: RunFolder, path: Path) -> Agreement:
    """Writes a run's best policy, acting greedily, as ONNX.

    Input ``obs``: (N, ...), observations of :func:`rltune.envs.make` in float32 (bytes in uint8):
    flattened, with channels last, followed by a mask of legal actions and with frames stacked, as
    the policy reads them. Output ``action``: (N, ...), actions in the environment's space. N is
    free. The file's metadata are ``env_id``, ``algo``, ``frame_stack`` and ``rltune``, the version.

    Raises:
        BadInput: the run has no policy.
        NothingUsable: the file acts differently from the policy; it is deleted.
        MachineError: the storage failed.
    """
    spec = folder.spec
    policy = best_policy(folder)
    obs = observations(policy, spec)
    with output_files.whole(path) as part:
        _write(policy, spec, obs[:2], part)
        agreement = compare(policy, part, obs)
        if agreement.equal < agreement.observations:
            raise NothingUsable(
                f"{path} is not written: it would act otherwise than the policy on "
                f"{agreement.observations - agreement.equal:,} of {agreement.observations:,} "
                f"observations, by {agreement.difference:.3g} at most"
            )
    return agreement


def observations(policy: Policy, spec: RunSpec, count: int = OBSERVATIONS) -> np.ndarray:
    """Collects observations ``(count, ...)`` of the policy, with some random actions.

    The episodes start from selection seeds, so that evaluation seeds stay unused.

    Raises:
        EnvironmentFailed: the environment raises; the message has its exception and line.
    """
    try:
        with Boundary(KeyboardInterrupt):
            return _met(policy, spec, count)
    except Exception as error:  # an environment may raise anything
        told = f"{described(error)} in {where(error)}"
        raise EnvironmentFailed(
            f"environment {spec.env_id}, while it was exported: {told}"
        ) from None


def _met(policy: Policy, spec: RunSpec, count: int) -> np.ndarray:
    rng = np.random.default_rng(spec.seed)
    seeds = iter(selection_seeds(spec.seed, count + ENVS))
    env_args = spec.env_options.env_args
    made = partial(envs.make, spec.env_id, env_args, policy.frame_stack, policy.form)
    copies = [made() for _ in range(min(ENVS, spec.env_options.env_copies or ENVS))]
    current = [env.reset(seed=next(seeds))[0] for env in copies]
    for env in copies:
        env.action_space.seed(int(rng.integers(2**31)))
    met: list[np.ndarray] = []
    while len(met) < count:
        met += current
        actions = policy.act(np.stack(current))
        for i, env in enumerate(copies):
            action = actions[i]
            if rng.random() < RANDOM_SHARE:
                action = sample(env.observation_space, env.action_space, current[i])
            current[i], _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                current[i], _ = env.reset(seed=next(seeds))
    for env in copies:
        envs.close(env)
    obs = np.stack(met[:count])
    return obs if obs.dtype == np.uint8 else obs.astype(np.float32)


def compare(policy: Policy, path: Path, obs: np.ndarray) -> Agreement:
    """Compares the actions of an ONNX file and the policy on observations ``(N, ...)``."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (exported,) = session.run(["action"], {"obs": obs})
    actions = policy.codec.decode(policy.act(obs))
    if exported.shape != actions.shape:
        raise NothingUsable(f"its actions have the shape {exported.shape}, not {actions.shape}")
    if policy.codec.choices:
        shares = _passed_over(policy, obs, exported)
    else:
        shares = _apart(policy, actions, exported)
    return Agreement(
        observations=len(obs),
        equal=int((shares <= TOLERANCE).reshape(len(obs), -1).all(axis=1).sum()),
        difference=float(shares.max()),
    )


def _passed_over(policy: Policy, obs: np.ndarray, exported: np.ndarray) -> np.ndarray:
    """Returns by how much the policy rates another action higher, shape (N, numbers in an action).

    It is 0 for equal actions. If two actions have the same rating, the last bit of a sum decides,
    which in torch depends on the batch size: that does not count as a difference.
    """
    rated, codec = policy.ratings(obs), policy.codec
    first = codec.decode(np.zeros((len(obs), *codec.ours.shape), np.int64))
    numbers = (exported.astype(np.int64) - first).reshape(len(obs), -1)
    counts = np.ravel(getattr(codec.ours, "nvec", codec.choices))
    leads = []
    for ratings, number in zip(np.split(rated, np.cumsum(counts)[:-1], 1), numbers.T, strict=True):
        chosen = np.take_along_axis(ratings, number[:, None], axis=1)[:, 0]
        largest = np.abs(np.where(ratings > ILLEGAL, ratings, 0.0)).max(axis=1)
        leads.append((ratings.max(axis=1) - chosen) / np.maximum(largest, np.finfo(float).tiny))
    return np.stack(leads, axis=1)


def _apart(policy: Policy, actions: np.ndarray, exported: np.ndarray) -> np.ndarray:
    """Returns distances of actions as a share of their range or largest value, (N, ...)."""
    space = policy.codec.theirs
    range_ = space.high.astype(float) - space.low
    largest = np.abs(actions.astype(float)).max(axis=0)
    scale = np.where(space.bounded_below & space.bounded_above, range_, largest)
    apart: np.ndarray = np.abs(exported.astype(float) - actions) / np.where(scale > 0, scale, 1.0)
    return apart


def _write(policy: Policy, spec: RunSpec, obs: np.ndarray, path: Path) -> None:
    # torch's newer exporter (dynamo=True) takes eight times as long, needs onnxscript and writes
    # the same operators. Use it when this one is removed.
    with warnings.catch_warnings(action="ignore"):  # the comparison above decides
        torch.onnx.export(
            policy.module(),
            (torch.from_numpy(obs),),
            path,
            input_names=["obs"],
            output_names=["action"],
            dynamic_axes={"obs": {0: "N"}, "action": {0: "N"}},
            dynamo=False,
        )
    model = onnx.load(path)
    shape = model.graph.output[0].type.tensor_type.shape
    for dim, size in zip(shape.dim[1:], policy.codec.theirs.shape, strict=True):
        dim.dim_value = size  # the exporter leaves it undefined
    about = {
        "env_id": spec.env_id,
        "algo": spec.algo,
        "frame_stack": str(policy.frame_stack),
        "rltune": __version__,
    }
    onnx.helper.set_model_props(model, about)
    onnx.save(model, path)
