"""The algorithms and their settings: names, types, bounds, and what must hold between them.

One row each; the row is defined in a module of its own. RLlib is not imported here, so that a
wrong word is answered at once: the code that trains is in :mod:`rltune.algorithms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltune.catalog.algorithms.base import Algorithm
from rltune.catalog.algorithms.dqn import DQN
from rltune.catalog.algorithms.ppo import PPO
from rltune.catalog.algorithms.sac import SAC
from rltune.errors import BadInput, unknown
from rltune.spec import JobSpec, RunSpec

__all__ = ["ALGORITHMS", "Algorithm", "algorithm", "request_problems", "setting_problems"]

#: Every algorithm, by name.
ALGORITHMS: dict[str, Algorithm] = {each.name: each for each in (DQN, SAC, PPO)}

#: RLlib's others, which ``rltune tune`` runs, and those of other libraries: none is a misspelt one.
_RLLIB = {"appo": "APPO", "impala": "IMPALA", "dreamerv3": "DreamerV3", "cql": "CQL", "iql": "IQL"}
_ELSEWHERE = frozenset(
    {"a2c", "a3c", "ddpg", "td3", "trpo", "tqc", "ars", "es", "qrdqn", "rainbow"}
)


def algorithm(name: str) -> Algorithm:
    """The algorithm of a name.

    Raises:
        BadInput: there is none; names the nearest.
    """
    if name.lower() in _RLLIB:
        raise BadInput(
            f"rltune has no {name} of its own (known: {', '.join(sorted(ALGORITHMS))}); RLlib's is "
            f"tuned with `rltune tune {_RLLIB[name.lower()]}`"
        )
    if name.lower() in _ELSEWHERE:
        raise BadInput(f"rltune has no {name}. Known: {', '.join(sorted(ALGORITHMS))}.")
    if name not in ALGORITHMS:
        raise unknown("algorithm", name, ALGORITHMS, " See `rltune list algorithms`.")
    return ALGORITHMS[name]


#: Settings that any request has.
_NEEDED = (
    "frame_stack",
    "min_sample_timesteps_per_iteration",
    "num_env_runners",
    "num_envs_per_env_runner",
)


def setting_problems(spec: RunSpec, values: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with settings of trials, by name; a function's are known by name alone."""
    if not spec.plays:
        unknown_names = [name for name in values if name not in spec.settings]
        return dict.fromkeys(unknown_names, f"unknown setting of {spec.env_id}")
    return algorithm(spec.algo).problems(values)


def request_problems(spec: RunSpec, job: JobSpec) -> list[str]:
    """What in a request's settings its algorithm does not know or allow, each with its place."""
    needed, derived = (_NEEDED, tuple(spec.derived)) if spec.plays else ((), ())
    tables = [
        ("settings", spec.settings),
        *(("space", {name: value}) for name, p in spec.space.items() for value in p.ends()),
        *(("points", point) for point in spec.points),
        *((f"arms {arm}", dict(s)) for arm, of in job.arms.items() for _, s in of),
    ]
    return [
        f"{place}: {name}: {problem}"
        for place, values in tables
        for name, problem in setting_problems(spec, values).items()
    ] + [
        *(f"settings: {name} is missing" for name in needed if name not in spec.settings),
        *(f"derived: {name}: only a function has derived settings" for name in derived),
    ]
