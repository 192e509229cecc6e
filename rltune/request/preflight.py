"""Tries an environment before anything starts, and reports what is wrong and how to fix it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.wrappers import PassiveEnvChecker

from rltune import envs
from rltune.catalog.algorithms import ALGORITHMS, Algorithm
from rltune.catalog.probe import Probe, probed
from rltune.engine.codec import ACTION_MASK, action_codec, flat_mask, has_mask, sample_legal
from rltune.envs import EnvInfo
from rltune.errors import BadInput, EnvironmentExit, ProcessEnded, keyword, warn_once
from rltune.processes.subprocess_guard import Guard, isolated
from rltune.processes.watchdog import CRASHED, ENV_TIMEOUT, EXITED, HUNG

#: Number of random steps that an environment is tried for, and a limit in seconds.
STEPS = 32
SECONDS = 0.2
#: How far an observation may exceed its bounds by rounding, as a share of the bound.
ROUNDING = 1e-4
#: Kinds of action space by their name in rltune.catalog.algorithms.
KINDS = {
    "discrete": "Discrete",
    "multidiscrete": "MultiDiscrete",
    "multibinary": "MultiBinary",
    "box": "Box",
}
#: Gymnasium's wrappers with running statistics, and the settings that replace them.
STATISTICS = {
    "NormalizeObservation": keyword(settings={"observation_filter": "MeanStdFilter"}),
    "NormalizeReward": f"{keyword(settings={'normalize_rewards': True})} (ppo)",
}
GUIDE = "see https://gymnasium.farama.org/introduction/migration_guide/"


def check_environment(
    spec: EnvInfo,
    algo: Algorithm,
    env_args: Mapping[str, Any],
    timeout: float = ENV_TIMEOUT,
) -> Probe:
    """Makes the environment, resets it and takes some random steps, before anything starts.

    It runs in a separate process, see :func:`rltune.processes.subprocess_guard.isolated`. Failures
    that a good environment may have occasionally (an exception in a later step, a reward that is
    not finite) are accepted, because trials can handle them.

    Args:
        timeout: limit in seconds for each call of the environment.

    Returns:
        The spaces and other properties of the environment.

    Raises:
        BadInput: it cannot be made, reset or stepped, it violates gymnasium's API, or the algorithm
            cannot act in it.
    """
    try:
        outcome = isolated(lambda guard: tried(spec, algo, env_args, guard), timeout)
    except ProcessEnded as ended:
        outcome = what_ended(spec.id, ended)
    if isinstance(outcome, str):
        raise BadInput(outcome)
    return outcome


def what_ended(env_id: str, ended: ProcessEnded) -> str:
    """Words the watchdog's report for the user, with the stack above rltune's call."""
    told, _, stack = ended.report.partition("\n")
    own = stack.rpartition(Path(__file__).name)[2].partition("\n")[2]
    if told.startswith(HUNG):
        fix = "Fix it, or allow it more with `env_timeout=SECONDS`."
    else:
        if EXITED not in told:
            told = f"it ended the process it was tried in, {ended.how}. {told}".rstrip(" .")
        told = told.removeprefix(f"{CRASHED}: ")
        fix = "Fix it before it is trained on."
    return "\n".join(filter(None, [f"environment {env_id}: {told}. {fix}", own]))


def tried(spec: EnvInfo, algo: Algorithm, env_args: Mapping[str, Any], guard: Guard) -> str | Probe:
    """Returns an environment's problem with its fix, or its properties if there is none.

    Args:
        guard: context around each call of the environment.
    """
    try:
        with guard:
            env = envs.authored(spec.id, env_args)
    except BadInput as error:
        return f"environment {spec.id}: {error}"
    except Exception as error:  # an environment may raise anything
        said, advice = _shown(error), "Fix it, or give it what it needs with `env_args`."
        if spec.extra:
            advice = f"Install it with: pip install 'rltune[{spec.extra}]'"
        if spec.extra and isinstance(error, gym.error.DependencyNotInstalled):
            said = str(error).partition(",")[0]  # what follows is gymnasium's own advice
        return f"environment {spec.id} could not be made: {said}. {advice}"
    probe = probed(env)
    _warn_of_statistics(spec, env)
    _warn_of_mask(spec, env)
    wrong = space_problem(spec, algo, env)
    if wrong is None:
        try:
            probe.reading()
        except BadInput as error:
            wrong = f"environment {spec.id}: {error}"
    if wrong is None and (wrong := api_problem(env, guard)):
        wrong = f"environment {spec.id}: {wrong}"
    with guard:
        envs.close(env)
    return wrong or probe


def _warn_of_statistics(spec: EnvInfo, env: gym.Env[Any, Any]) -> None:
    """Warns about wrappers with running statistics, which are not saved with the policy."""
    layer = env
    while isinstance(layer, gym.Wrapper):
        if (instead := STATISTICS.get(type(layer).__name__)) is not None:
            warn_once(
                f"environment {spec.id} is wrapped in {type(layer).__name__}: each copy has its "
                "own statistics, and they start from nothing in scoring, so that a policy is "
                f"scored on other numbers than it was trained on. Leave it out and use {instead}."
            )
        layer = layer.env


def _warn_of_mask(spec: EnvInfo, env: gym.Env[Any, Any]) -> None:
    """Warns about a mask of actions in a form that nobody reads: illegal ones would be taken."""
    space = env.observation_space
    if not isinstance(space, gym.spaces.Dict) or has_mask(space) or ACTION_MASK not in space.spaces:
        return
    warn_once(
        f"environment {spec.id}: its action_mask is read as a number like others, and illegal "
        "actions are taken. A mask stands alone beside the rest: "
        "Dict(observations=..., action_mask=...)."
    )


def _shown(error: Exception) -> str:
    """Formats an error and the line that raised it."""
    if isinstance(error, EnvironmentExit):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"


def space_problem(spec: EnvInfo, algo: Algorithm, env: gym.Env[Any, Any]) -> str | None:
    """Returns why an algorithm cannot act in an environment, and which can; None if it can."""
    kind = type(env.action_space).__name__.lower()
    if kind in algo.actions:
        return _unbounded(spec, algo, env.action_space)
    able = [other.name for other in ALGORITHMS.values() if kind in other.actions]
    advice = (
        f"Use {' or '.join(able)}."
        if able
        else "No algorithm of rltune handles such actions: wrap the environment so that they are "
        "Discrete, MultiDiscrete, MultiBinary or Box."
    )
    takes = " or ".join(sorted(KINDS[action] for action in algo.actions))
    return (
        f"{algo.name} cannot act in {spec.id}: its actions are {type(env.action_space).__name__}, "
        f"{algo.name} takes {takes}. {advice}"
    )


def _unbounded(spec: EnvInfo, algo: Algorithm, space: gym.Space[Any]) -> str | None:
    """Returns why SAC cannot act in a Box without bounds; None if it can."""
    if algo.name != "sac" or space.is_bounded():
        return None
    return (
        f"sac cannot act in {spec.id}: its actions have no finite bounds on every side ({space}), "
        "and sac's are squashed into bounds. Use ppo, or give the actions bounds."
    )


def api_problem(env: gym.Env[Any, Any], guard: Guard) -> str | None:
    """Returns how an environment violates gymnasium's API, with the fix; None if it does not.

    Args:
        guard: context around each call of the environment.
    """
    own = _own(env)
    choose = Chooser(own)
    before = {name: getattr(own, name) for name in ("observation_space", "action_space")}
    try:
        with guard:
            answer = own.reset(seed=0)
        first = deepcopy(answer)
        problem = _moved(own, before) or _reset_problem(answer, own.observation_space)
        if problem is None:
            with guard:
                answer = own.step(choose(answer[0]))
            problem = _step_problem(answer, own.observation_space)
        if problem is None:  # and as trials see it, wrapped
            with guard:
                seen, _ = env.reset(seed=0)
                env.step(choose(seen))
                again, _ = own.reset(seed=0)
            _warn_of_chance(own, first[0], again)
    except Exception as error:  # an environment may raise anything
        if isinstance(error, TypeError) and "reset() got an unexpected keyword" in str(error):
            return (
                f"{error}; gymnasium wants `def reset(self, *, seed=None, options=None)`, which "
                f"begins with super().reset(seed=seed); {GUIDE}"
            )
        return f"it failed its first step: {_shown(error)}. Fix it before it is trained on."
    return problem or _later_problem(own, choose, guard) or _moved(own, before)


def _warn_of_chance(env: gym.Env[Any, Any], first: Any, again: Any) -> None:
    """Warns where two resets with one seed begin with other observations."""
    if not data_equivalence(first, again):
        warn_once(
            f"environment {type(env.unwrapped).__name__}: two resets with the same seed begin "
            "differently, so that no score can be repeated. Begin reset with "
            "super().reset(seed=seed), and draw from self.np_random alone."
        )


def _moved(env: gym.Env[Any, Any], before: Mapping[str, gym.Space[Any]]) -> str | None:
    """Returns the problem of a space that has changed: a policy is built once, for one space."""
    for name, space in before.items():
        if (now := getattr(env, name)) != space:
            return (
                f"its {name} was {space} when it was made and is {now} after a reset: it must stay "
                "as it is. Make it large enough for every episode, with a mask of legal actions"
            )
    return None


class Chooser:
    """Chooses random actions of an environment, legal ones if it has a mask."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self._env, self._codec = env, action_codec(env.action_space)
        self._codec.ours.seed(0)
        self._beside = has_mask(env.observation_space)
        self._asks = bool(self._codec.choices) and env.has_wrapper_attr("action_masks")

    def seed(self, seed: int) -> None:
        """Draws from a seed on."""
        self._codec.ours.seed(seed)

    def __call__(self, observation: Any) -> Any:
        """An action for the environment."""
        if self._beside:
            mask = flat_mask(observation[ACTION_MASK])
        elif self._asks:
            mask = flat_mask(self._env.get_wrapper_attr("action_masks")())
        else:
            return self._codec.decode(self._codec.ours.sample())
        allowed = mask if mask.any() else np.ones(self._codec.choices, bool)
        return self._codec.decode(sample_legal(self._codec.ours, allowed))


def _own(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Returns the author's environment, without the wrappers that ``gymnasium.make`` adds."""
    layer = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, PassiveEnvChecker):
            return layer.env
        layer = layer.env
    return env


def _later_problem(env: gym.Env[Any, Any], choose: Chooser, guard: Guard) -> str | None:
    """Returns a problem of the steps after the first; exceptions there are accepted."""
    done, until = True, time.monotonic() + SECONDS
    answer: Any = None
    with suppress(Exception):
        for _ in range(STEPS):
            with guard:
                answer = env.reset() if done else env.step(choose(answer[0]))
            check = _reset_problem if done else _step_problem
            if problem := check(answer, env.observation_space):
                return problem
            done = not done and bool(answer[2] or answer[3])
            if time.monotonic() > until:
                break
    return None


def _reset_problem(answer: Any, space: gym.Space[Any]) -> str | None:
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict)):
        return (
            f"reset() returned {_kind(answer)}, gymnasium wants (observation, info), info a dict: "
            f"`return observation, {{}}`; {GUIDE}"
        )
    return _observation_problem("reset", answer[0], space)


def _step_problem(answer: Any, space: gym.Space[Any]) -> str | None:
    wants = "gymnasium wants (observation, reward, terminated, truncated, info)"
    if isinstance(answer, tuple) and len(answer) == 4:
        return (
            f"step() returned 4 values, as old gym had it; {wants}: return `done` as terminated, "
            f"and whether a time limit cut the episode as truncated; {GUIDE}"
        )
    if not (isinstance(answer, tuple) and len(answer) == 5):
        return f"step() returned {_kind(answer)}; {wants}; {GUIDE}"
    observation, reward, terminated, truncated, info = answer
    if not _is_scalar(reward, "fiub"):
        return f"step() returned {_kind(reward)} as reward, it must be one number: float(reward)"
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not _is_scalar(flag, "biu"):
            return f"step() returned {_kind(flag)} as {name}, it must be true or false: bool(...)"
    if not isinstance(info, dict):
        return f"step() returned {_kind(info)} as info, it must be a dict; {GUIDE}"
    return _observation_problem("step", observation, space)


def _is_scalar(value: Any, kinds: str) -> bool:
    try:
        array = np.asarray(value)
    except ValueError:  # a ragged list
        return False
    return array.ndim == 0 and array.dtype.kind in kinds


def _kind(value: Any) -> str:
    """Describes a value for a message."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _observation_problem(call: str, observation: Any, space: gym.Space[Any]) -> str | None:
    where = f"{call}() returned an observation"
    fix = "Fix the observation, or the observation_space."
    if not isinstance(space, gym.spaces.Box):
        good = space.contains(observation)
        return None if good else f"{where} ({observation!r:.80}) outside {space}. {fix}"
    try:
        array = np.asarray(observation)
    except ValueError:
        return f"{where} that is no array: {_kind(observation)}. {fix}"
    if array.dtype.kind not in "fiub" or not np.can_cast(array.dtype, space.dtype, "same_kind"):
        return f"{where} of dtype {array.dtype}, its space says {space.dtype}. {fix}"
    if array.shape != space.shape:
        return f"{where} of shape {array.shape}, its space says {space.shape}. {fix}"
    values = array.astype(np.float64)
    with np.errstate(invalid="ignore"):
        low = space.low - ROUNDING * np.maximum(1, np.abs(space.low))
        high = space.high + ROUNDING * np.maximum(1, np.abs(space.high))
    outside = np.isfinite(values) & ((values < low) | (values > high))
    if outside.any():
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        return (
            f"{where} with {values[at]:g} at {list(at)}, its space says "
            f"[{space.low[at]:g}, {space.high[at]:g}]. {fix}"
        )
    return None
