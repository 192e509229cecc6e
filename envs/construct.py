"""From a name to an environment as its author wrote it, with its family's wrappers."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec as Registered
from gymnasium.envs.registration import load_env_creator
from rltune.envs import atari, box2d, classic_control, minigrid, mujoco, toy_text
from rltune.envs.arguments import decode
from rltune.envs.info import EnvInfo, Family, bare
from rltune.envs.places import find, load, split

from rltune.errors import BadInput, did_you_mean

FAMILIES: tuple[Family, ...] = tuple(
    module.FAMILY for module in (classic_control, box2d, toy_text, mujoco, atari, minigrid)
)
INFOS: dict[str, EnvInfo] = {spec.name: spec for each in FAMILIES for spec in each.listed}

#: Makes an environment: a class of one, or a function that returns one.
Creator = Callable[..., gym.Env[Any, Any]]

#: Names of the one argument that environments take in RLlib: a dict of what is to be set.
CONFIG_NAMES = (
    "config",
    "env_config",
    "cfg",
    "env_cfg",
    "context",
    "env_context",
    "ctx",
    "env_ctx",
)

#: Arguments that ``gymnasium.make`` has a meaning for.
WORDS = frozenset(inspect.signature(gym.make).parameters) - {"id", "kwargs"}


class EnvConfig(dict[str, Any]):
    """What RLlib calls an EnvContext: its configuration, and where the environment is."""

    worker_index = 0
    vector_index = 0
    num_workers = 0
    remote = False
    recreated_worker = False


#: What encoded arguments stand for, secrets among them.
reveal = decode


def gym_id(name: str) -> str:
    """The gymnasium id behind a short name; anything else is returned as it is."""
    return INFOS[name].id if name in INFOS else name


def family(env_id: str) -> Family | None:
    """The family of an id, listed or not; None for what belongs to none."""
    return next((each for each in FAMILIES if each.spec(bare(env_id))), None)


def known(env_id: str) -> EnvInfo | None:
    """What its family knows of an id; None for what belongs to none."""
    found = family(env_id)
    return found.spec(bare(env_id)) if found else None


def own_creator(env_id: str) -> Creator | None:
    """The class or function of ``module:Name`` or ``file.py:Name``; None for a gymnasium id.

    Raises:
        ImportError: there is no such module or file.
        TypeError: it names something that makes no environment.
    """
    place, name = split(env_id)
    if not place:
        return None
    load(place)
    if name in gym.registry:
        return None
    try:
        found = find(env_id)
    except AttributeError:
        return None
    if isinstance(found, type) and not issubclass(found, gym.Env):
        raise TypeError(f"{name} is no environment: it must subclass gymnasium.Env")
    if not callable(found):
        raise TypeError(
            f"{name} is {type(found).__name__}, and neither a class of environments nor a function "
            "that returns one"
        )
    creator: Creator = found
    return creator


def construct(name: str | Creator, env_args: Mapping[str, Any] | None = None) -> gym.Env[Any, Any]:
    """One environment, its spaces as its author defined them.

    Arguments reach the constructor by name. One whose first parameter is RLlib's ``config`` gets a
    dict of those that no other parameter is named after. ``max_episode_steps`` and
    ``disable_env_checker`` have gymnasium's meaning where the constructor has no such parameter.

    Args:
        name: a short name, a gymnasium id, ``module:Id-v0``, ``module:Class``,
            ``module:function``, the same of a ``file.py``, or a class or function itself.
        env_args: of the environment, as objects or as :mod:`rltune.envs.arguments` encodes them.
    """
    args = decode(env_args or {})
    if not isinstance(name, str):
        return _made(_unregistered(name), args, env_args)
    env_id = gym_id(name)
    found = family(env_id)
    if found:
        return found.make(env_id, **args)
    own = own_creator(env_id)
    return _made(gym.spec(bare(env_id)) if own is None else _unregistered(own), args, env_args)


def _unregistered(creator: Creator) -> Registered:
    return Registered(getattr(creator, "__name__", "environment"), creator)


def _made(
    spec: Registered, args: dict[str, Any], context: Mapping[str, Any] | None
) -> gym.Env[Any, Any]:
    """An environment by ``gymnasium.make``, which gets to see what it has a meaning for."""
    if spec.entry_point is None:
        raise gym.error.Error(f"{spec.id} is registered without an entry_point")
    creator = spec.entry_point if callable(spec.entry_point) else load_env_creator(spec.entry_point)
    parameters = _parameters(creator)
    words = {word: args[word] for word in args if word in WORDS and word not in parameters}
    config = config_parameter(creator, args, spec.kwargs)
    if config is None:
        kwargs = {key: value for key, value in args.items() if key not in words}
        _check_names(creator, kwargs)
    else:
        kwargs = {key: value for key, value in args.items() if key in parameters}
        rest = {key: value for key, value in args.items() if key not in parameters}
        kwargs[config] = _as_config(context, rest)
    # gymnasium.make copies and prints the arguments that it is given, secrets too.
    spec = copy.copy(spec)
    spec.entry_point = _Bound(creator, kwargs)
    mode = {key: kwargs.pop(key) for key in ("render_mode",) if key in kwargs}
    try:
        env = gym.make(spec, **words, **mode)
    except TypeError as error:
        if "was raised from the environment creator" in str(error) and error.__context__:
            raise error.__context__ from None  # the environment's own, with its own line
        raise
    if config is not None and "render_mode" in args and env.unwrapped.render_mode is None:
        env.unwrapped.render_mode = args["render_mode"]
    return env


class _Bound:
    """A creator and its arguments."""

    def __init__(self, creator: Creator, kwargs: dict[str, Any]) -> None:
        self._creator, self._kwargs = creator, kwargs
        if hasattr(creator, "metadata"):
            self.metadata = creator.metadata

    def __call__(self, **kwargs: Any) -> gym.Env[Any, Any]:
        return self._creator(**{**kwargs, **self._kwargs})

    def __deepcopy__(self, _: dict[int, Any]) -> _Bound:
        return self  # gymnasium copies an environment's spec for each of its wrappers


def _check_names(creator: Creator, kwargs: Mapping[str, Any]) -> None:
    """Raises BadInput for arguments that a creator does not take, with those that it does."""
    known = _parameters(creator)
    unknown = [name for name in kwargs if name not in known]
    if not known or not unknown or _takes_any(creator):
        return
    taken = f" It takes: {', '.join(known)}."
    raise BadInput(
        [
            f"{getattr(creator, '__qualname__', creator)} takes no argument {name!r}."
            + (did_you_mean(name, known) or taken)
            for name in unknown
        ]
    )


def _takes_any(creator: Creator) -> bool:
    kinds = [each.kind for each in inspect.signature(creator).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def _parameters(creator: Creator) -> dict[str, inspect.Parameter]:
    """The parameters that a creator names; none where it does not tell."""
    try:
        found = inspect.signature(creator).parameters
    except (TypeError, ValueError):
        return {}
    var = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name: each for name, each in found.items() if each.kind not in var}


def config_parameter(
    creator: Creator, args: Mapping[str, Any], registered: Mapping[str, Any]
) -> str | None:
    """The parameter that takes arguments as one dict, as RLlib has it; None for none.

    It comes first, has one of the names that are usual, and nothing is given under its own name. A
    default is None or a dict, and acts where there is nothing to put in its place.

    Args:
        registered: arguments that an id is registered with.
    """
    parameters = _parameters(creator)
    first = next(iter(parameters.values()), None)
    if first is None or first.name not in CONFIG_NAMES or first.name in {*args, *registered}:
        return None
    if first.default is inspect.Parameter.empty:
        return first.name
    fits = first.default is None or isinstance(first.default, Mapping)
    return first.name if fits and set(args) - set(parameters) else None


def _as_config(context: Mapping[str, Any] | None, values: dict[str, Any]) -> dict[str, Any]:
    """RLlib's own context with other values, where one was given."""
    if not isinstance(context, dict) or not hasattr(context, "worker_index"):
        return EnvConfig(values)
    own = copy.copy(context)
    own.clear()
    own.update(values)
    return own
