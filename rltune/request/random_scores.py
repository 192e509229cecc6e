"""What a random policy reaches in an environment: the 0 of the normalised scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from rltune import envs
from rltune.environments import RandomScore
from rltune.envs.arguments import canonical
from rltune.errors import BadInput, ProcessEnded, described
from rltune.processes import machine
from rltune.processes.subprocess_guard import Guard, each_isolated
from rltune.request.preflight import Chooser, what_ended
from rltune.spec import FIRST_EVALUATION_SEED, FIRST_SELECTION_SEED, RunSpec
from rltune.statistics import interval

#: Processes' worth of episodes, episodes of each, and steps after which one plays no more of them.
#: They depend on nothing, so that an environment has the same score in every run.
PARTS, EPISODES, STEPS = 4, 12, 5_000
#: Episodes of each part at least.
FEWEST = 2

_known: dict[tuple[str, str], RandomScore] = {}


def random_score(spec: RunSpec) -> RandomScore:
    """Plays whole episodes with random actions, legal ones where there is a mask.

    Their seeds are the same for every run, and none that training or selection can draw.

    Raises:
        BadInput: the environment raises, hangs or crashes, or a return is not finite.
    """
    key = spec.env_id, canonical(spec.env_options.env_args)
    if key not in _known:
        _known[key] = _measured(spec)
    return _known[key]


def _measured(spec: RunSpec) -> RandomScore:
    most = FIRST_EVALUATION_SEED - FIRST_SELECTION_SEED
    drawn = np.random.default_rng(6).integers(most, size=(PARTS, EPISODES))
    works = [partial(_returns, spec, [int(seed) for seed in seeds]) for seeds in drawn]
    timeout = spec.env_options.env_timeout
    returns: list[float] = []
    for answer in each_isolated(works, timeout, machine.cores().amount):
        if isinstance(answer, ProcessEnded):
            raise BadInput(what_ended(spec.env_id, answer))
        if isinstance(answer, Exception):
            raise BadInput(f"environment {spec.env_id}, played at random: {described(answer)}")
        returns += answer
    if not all(map(math.isfinite, returns)):
        raise BadInput(f"environment {spec.env_id}: the return of random actions is not finite")
    return RandomScore(float(np.mean(returns)), interval(returns), len(returns))


def _returns(spec: RunSpec, seeds: Sequence[int], guard: Guard) -> list[float]:
    """Plays one episode a seed, until enough steps are taken."""
    returns: list[float] = []
    steps = 0
    with guard:
        env = envs.authored(spec.env_id, spec.env_options.env_args)
    choose = Chooser(env)
    for seed in seeds:
        if steps >= STEPS and len(returns) >= FEWEST:
            break
        choose.seed(seed)
        with guard:
            observation, _ = env.reset(seed=FIRST_EVALUATION_SEED + seed)
        total, over = 0.0, False
        while not over:
            with guard:
                observation, reward, terminated, truncated, _ = env.step(choose(observation))
            total += float(reward)
            steps, over = steps + 1, bool(terminated or truncated)
        returns.append(total)
    with guard:
        envs.close(env)
    return returns
