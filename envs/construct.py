"""Makes an environment from its name, as its author wrote it, with its family's wrappers."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec as Registered
from gymnasium.envs.registration import load_env_creator
from rltune.envs import atari, box2d, classic_control, minigrid, mujoco, registrations, toy_text
from rltune.envs.arguments import decode
from rltune.envs.info import EnvInfo, Family, bare
from rltune.envs.places import find, load, split
from rltune.envs.registrations import registered

from rltune.errors import BadInput, did_you_mean

FAMILIES: tuple[Family, ...] = tuple(
    module.FAMILY for module in (classic_control, box2d, toy_text, mujoco, atari, minigrid)
)
INFOS: dict[str, EnvInfo] = {spec.name: spec for each in FAMILIES for spec in each.listed}

#: Makes an environment: its class, or a function that returns it.
Creator = Callable[..., gym.Env[Any, Any]]

#: Usual names of the single argument of RLlib's environments, a dict of settings.
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

#: Arguments that ``gymnasium.make`` handles itself.
WORDS = frozenset(inspect.signature(gym.make).parameters) - {"id", "kwargs"}


class EnvConfig(dict[str, Any]):
    """The dict that RLlib calls an EnvContext: settings, and the indices of worker and copy."""

    worker_index = 0
    vector_index = 0
    num_workers = 0
    remote = False
    recreated_worker = False


#: Decodes arguments, including secrets.
reveal = decode


def gym_id(name: str) -> str:
    """Returns the gymnasium id of a short name; returns any other name unchanged."""
    return INFOS[name].id if name in INFOS else name


def family(env_id: str) -> Family | None:
    """Returns the family of an id, listed or not; None if it belongs to none.

    Another module's ``module:Id-v0`` belongs to none, and neither does an id under which this
    process has registered another environment. No module is loaded.
    """
    place, name = split(env_id)
    found = _family_of(name)
    if found is None or place not in ("", found.module):
        return None
    spec = gym.registry.get(name)
    return found if spec is None or is_stock(spec) else None


def _family_of(bare_id: str) -> Family | None:
    return next((each for each in FAMILIES if each.spec(bare_id)), None)


def known(env_id: str) -> EnvInfo | None:
    """Returns what the family of an id knows of it; None if it belongs to none."""
    its_family = family(env_id)
    return its_family.spec(bare(env_id)) if its_family else None


def is_stock(spec: Registered) -> bool:
    """Whether an environment is registered as gymnasium or its family's package registers it."""
    packages = [each.module for each in FAMILIES if each.module]
    return registrations.is_stock(spec, [registrations.GYMNASIUM, *packages])


def is_replaced(env_id: str) -> bool:
    """Whether an id without a module is another environment in this process than in a new one."""
    spec = gym.registry.get(env_id)
    ours = _family_of(env_id) is not None or env_id in registrations.stock_ids()
    return spec is not None and ours and not is_stock(spec)


def is_namesake(env_id: str) -> bool:
    """Whether ``module:Id-v0`` is a user's environment with an id of gymnasium's or a family's."""
    place, name = split(env_id)
    found = _family_of(name)
    if found is not None:
        return place not in ("", found.module)
    return bool(place) and name in registrations.stock_ids()


def own_creator(env_id: str) -> Creator | None:
    """Returns the object of ``module:Name`` or ``file.py:Name``; None for a gymnasium id.

    Raises:
        ImportError: the module or file does not exist.
        TypeError: the object does not make environments.
    """
    place, name = split(env_id)
    if not place:
        return None
    load(place)
    if name in gym.registry:
        return None
    try:
        maker = find(env_id)
    except AttributeError:
        return None
    if isinstance(maker, type) and not issubclass(maker, gym.Env):
        raise TypeError(f"{name} is no environment: it must subclass gymnasium.Env")
    if not callable(maker):
        raise TypeError(
            f"{name} is {type(maker).__name__}, and neither a class of environments nor a function "
            "that returns one"
        )
    creator: Creator = maker
    return creator


def construct(name: str | Creator, env_args: Mapping[str, Any] | None = None) -> gym.Env[Any, Any]:
    """Makes one environment with its author's spaces.

    Arguments are passed to the constructor by name. A constructor whose first parameter is RLlib's
    ``config`` gets the arguments without a parameter of their own in a dict. ``max_episode_steps``
    and ``disable_env_checker`` are passed to gymnasium if the constructor lacks such a parameter.

    Args:
        name: short name, gymnasium id, ``module:Id-v0``, ``module:Class``, ``module:function``,
            the same with a ``file.py`` as module, or the class or function itself.
        env_args: arguments as objects or as encoded by :mod:`rltune.envs.arguments`.
    """
    args = decode(env_args or {})
    if not isinstance(name, str):
        return _made(_unregistered(name), args, env_args)
    env_id = gym_id(name)
    its_family = family(env_id)
    if its_family:
        return its_family.make(env_id, **args)
    own = own_creator(env_id)
    return _made(registered(env_id) if own is None else _unregistered(own), args, env_args)


def _unregistered(creator: Creator) -> Registered:
    return Registered(getattr(creator, "__name__", "environment"), creator)


def _made(
    spec: Registered, args: dict[str, Any], context: Mapping[str, Any] | None
) -> gym.Env[Any, Any]:
    """Makes an environment with ``gymnasium.make``, which sees only the arguments it handles."""
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
    # gymnasium.make would copy and print the arguments, including secrets.
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
    """Raises BadInput for unknown arguments, naming those that the creator takes."""
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
    """Returns the parameters that a creator names; none if it has no signature."""
    try:
        parameters = inspect.signature(creator).parameters
    except (TypeError, ValueError):
        return {}
    var = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name: each for name, each in parameters.items() if each.kind not in var}


def config_parameter(
    creator: Creator, args: Mapping[str, Any], registered: Mapping[str, Any]
) -> str | None:
    """Returns the parameter that takes all arguments as one dict, as in RLlib, or None.

    It is the first parameter, has one of the usual names and is not given by its own name. Its
    default, if any, is None or a dict, and is used if there are no arguments for the dict.

    Args:
        registered: arguments that the id is registered with.
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
    """Copies RLlib's context with other values, or makes a context if there is none."""
    if not isinstance(context, dict) or not hasattr(context, "worker_index"):
        return EnvConfig(values)
    own = copy.copy(context)
    own.clear()
    own.update(values)
    return own
