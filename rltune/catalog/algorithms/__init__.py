"""The algorithms and their settings: names, types, bounds, and what must hold between them.

One row each; the row is defined in a module of its own. RLlib is not imported here, so that a
wrong word is answered at once: the code that trains is in :mod:`rltune.algorithms`.
"""

from __future__ import annotations

from rltune.catalog.algorithms.base import Algorithm
from rltune.catalog.algorithms.dqn import DQN
from rltune.catalog.algorithms.ppo import PPO
from rltune.catalog.algorithms.sac import SAC
from rltune.errors import unknown
from rltune.spec import JobSpec, RunSpec

__all__ = ["ALGORITHMS", "Algorithm", "algorithm", "request_problems"]

#: Every algorithm, by name.
ALGORITHMS: dict[str, Algorithm] = {each.name: each for each in (DQN, SAC, PPO)}


def algorithm(name: str) -> Algorithm:
    """The algorithm of a name.

    Raises:
        BadInput: there is none; names the nearest.
    """
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


def request_problems(spec: RunSpec, job: JobSpec) -> list[str]:
    """What in a request's settings its algorithm does not know or allow, each with its place."""
    algo = algorithm(spec.algo)
    tables = [
        ("settings", spec.settings),
        *(("space", {name: value}) for name, p in spec.space.items() for value in p.ends()),
        *(("points", point) for point in spec.points),
        *((f"arms {arm}", dict(s)) for arm, of in job.arms.items() for _, s in of),
    ]
    return [
        f"{place}: {name}: {problem}"
        for place, values in tables
        for name, problem in algo.problems(values).items()
    ] + [f"settings: {name} is missing" for name in _NEEDED if name not in spec.settings]
