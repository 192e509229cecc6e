"""From what a user names to an EnvInfo; their code runs in a process of its own.

A module that hangs, crashes or ends the process while it is imported takes nobody along.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import entry_points
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import gymnasium as gym

from rltune import envs
from rltune.envs import EnvInfo, places
from rltune.errors import BadInput, ProcessEnded, did_you_mean, unknown
from rltune.processes.subprocess_guard import Guard, isolated
from rltune.processes.watchdog import ENV_TIMEOUT
from rltune.spec import RunSpec

T = TypeVar("T")
#: What helps where the user's code is in no file.
IN_A_FILE = (
    "write its class and gymnasium.register to a file (in a notebook, %%writefile my_env.py) and "
    "import that"
)
#: A name, a class of environments, or a function that returns one.
EnvLike = str | Callable[..., gym.Env[Any, Any]]


def environment(given: EnvLike, imports: Sequence[str] = ()) -> EnvInfo:
    """The environment of a name, a class or a function.

    Args:
        given: a short name, a gymnasium id, ``module:Id-v0``, ``module:Class``,
            ``module:function``, the same of a ``path/to/file.py``, or a class of environments or a
            function that returns one, which workers must be able to import.
        imports: modules that register environments, imported first.

    Raises:
        BadInput: no such environment, a version that gymnasium has withdrawn, a class that
            workers cannot import, a package that is not installed, or a module that fails.
    """
    given, imports = _registered_with_ray(given), [places.whole(module) for module in imports]
    its_name = places.absolute(given) if isinstance(given, str) else _name_of(given)
    name = _as_registered(envs.gym_id(its_name))
    registered = gym.registry.get(name)
    if not isinstance(given, str) or (registered and not envs.is_stock(registered)):
        if imports:  # beside what this process has loaded itself
            guarded("imports", partial(_import_all, imports, name))
        return _find(name, None, imports)
    if not imports and (":" not in name or envs.known(name)):
        return _find(name, None)
    return guarded(f"environment {name!r}", partial(_import_and_find, name, imports))


def check_there(spec: RunSpec, shown: str) -> None:
    """Raises BadInput where the environment of a run that was made elsewhere cannot be made here.

    Args:
        shown: the run's folder, for messages.
    """
    for single in spec.singles:
        _check_one_there(single, shown)


def _check_one_there(spec: RunSpec, shown: str) -> None:
    if missing := [
        v for v in envs.arguments.secret_variables(spec.env_options.env_args) if v not in os.environ
    ]:
        raise BadInput([f"{shown} needs a secret again: export {v}=..." for v in missing])
    if not envs.is_namesake(spec.env_id) and envs.is_replaced(envs.bare(spec.env_id)):
        raise BadInput(
            f"{shown}: {spec.env_id} is another environment in this process, which has registered "
            "it again: do this in a new process"
        )
    try:
        environment(spec.env_id, spec.env_options.imports)
        for name in envs.arguments.imported(spec.env_options.env_args):
            guarded(f"{name}, an argument of the environment", partial(_is_there, name))
    except BadInput as error:
        where = spec.started_in and (
            f" The run was started in {spec.started_in}: run this there, or with "
            f"PYTHONPATH={spec.started_in}"
        )
        raise BadInput(f"{shown}: {error}.{where}".replace("..", ".")) from error


def _is_there(name: str) -> None:
    places.find(name)


def guarded(what: str, work: Callable[[], T]) -> T:
    """What some work returns that imports or makes what a user wrote, done in a forked child.

    Args:
        what: for messages, what is being done.

    Raises:
        BadInput: it raises, ends its process, or takes longer than an environment may.
    """

    def inside(guard: Guard) -> T:
        with guard:
            try:
                return work()
            except BadInput:
                raise
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                raise BadInput(f"{what}: {told(error)}") from None

    try:
        return isolated(inside, ENV_TIMEOUT)
    except ProcessEnded as ended:
        told_of, _, stack = ended.report.partition("\n")
        own = stack.rpartition("envs/places.py")[2].partition("\n")[2]
        frames = [line for line in own.splitlines() if "<frozen" not in line]
        how = told_of or f"the process ended {ended.how}"
        raise BadInput("\n".join([f"{what}: {how}", *frames])) from None


def told(error: BaseException) -> str:
    """An exception and the line that raised it, for one line of a message."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    ours = ("<frozen", places.__file__)
    own = [frame for frame in frames if not frame.filename.startswith(ours)]
    where = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    name = type(error).__name__
    if isinstance(error, SystemExit):
        return f"it ends the process: sys.exit({error.code!r}){where}"
    return f"{name}: {error}{where}"


# --- what a name stands for -----------------------------------------------------------------------


def _import_and_find(name: str, imports: Sequence[str]) -> EnvInfo:
    place = _import_all(imports, envs.bare(name))
    return _find(_as_registered(name), place)


def _as_registered(name: str) -> str:
    """A name without gymnasium's or a family's package if its id is another environment here."""
    place, env_id = places.split(name)
    packages = {"", "gymnasium", *(each.module for each in envs.FAMILIES)}
    return env_id if place.split(".")[0] in packages and envs.is_replaced(env_id) else name


def _find(name: str, place: str | None, candidates: Sequence[str] = ()) -> EnvInfo:
    """What is known of an environment.

    Args:
        place: what registers its id; None for not known.
        candidates: what may have registered it, beside the module that defines it.
    """
    known = envs.known(name)
    if known and known.name in envs.INFOS:
        return known
    try:
        if envs.own_creator(known.id if known else name) is not None:
            return EnvInfo(
                name, _short(name), max_episode_steps=envs.MAX_EPISODE_STEPS, images=None
            )
        spec = envs.registered(name)
    except ModuleNotFoundError as error:
        raise BadInput(
            f"environment {name!r}: {missing_module(name, error)}{_install(known)}"
        ) from error
    except ImportError as error:
        raise BadInput(f"environment {name!r}: {told(error)}.{_install(known)}") from error
    except (gym.error.DeprecatedEnv, TypeError) as error:
        raise BadInput(f"environment {name!r}: {error}") from error
    except gym.error.Error as error:
        raise _unknown(name) from error
    stock = known or (envs.known(envs.bare(name)) if envs.is_stock(spec) else None)
    if stock:
        return stock
    prefix = "" if ":" in name else place or _place_of_id(spec, candidates)
    return EnvInfo(
        f"{prefix}:{name}" if prefix else name,
        _short(name),
        threshold=spec.reward_threshold,
        max_episode_steps=spec.max_episode_steps or envs.MAX_EPISODE_STEPS,
        images=None,
    )


def _short(name: str) -> str:
    """A name without the folders of its file."""
    place, rest = places.split(name)
    return f"{Path(place).name}:{rest}" if places.is_file(place) else name


def _install(spec: EnvInfo | None) -> str:
    """How to install what an environment needs, to be said after what went wrong."""
    return f" Install it with: pip install 'rltune[{spec.extra}]'" if spec and spec.extra else ""


def missing_module(name: str, error: ModuleNotFoundError) -> str:
    """A module that is not there, and what helps."""
    place, rest = places.split(name)
    if places.is_file(place) and error.name == place:
        return (
            f"{error}. Put it back there, or name the place where it is: "
            f"path/to/{Path(place).name}:{rest}"
        )
    if error.name and place.split(".")[0] == error.name.split(".")[0]:
        return (
            f"{error}. Run rltune in the folder that holds it, put that folder on PYTHONPATH, or "
            f"name the file: path/to/{place.rpartition('.')[2]}.py:{rest}"
        )
    return f"{told(error)}."


def _unknown(name: str) -> BadInput:
    place, rest = places.split(name)
    beside = [f"{place}:{each}" for each in _creators(sys.modules.get(_module_of(place)))]
    if places.is_file(rest):
        return BadInput(f"environment {name!r}: name what the file holds as well: {rest}:MyEnv")
    if beside and place:
        return unknown("environment", name, beside)
    hint = did_you_mean(name, [*envs.INFOS, *gym.registry]) or (
        " Where a module of yours registers it, add `imports=['MODULE']`; a class or a function is "
        "named path/to/file.py:NAME."
    )
    return BadInput(f"Unknown environment {name!r}.{hint} See `rltune list environments`.")


def _module_of(place: str) -> str:
    return places.load(place).__name__ if place else ""


def _creators(module: ModuleType | None) -> list[str]:
    """Names of a module's own environments, functions, and of what it registers."""
    if module is None:
        return []
    own = [
        name
        for name, each in vars(module).items()
        if getattr(each, "__module__", None) == module.__name__
        and not name.startswith("_")
        and (isfunction(each) or (isinstance(each, type) and issubclass(each, gym.Env)))
    ]
    return [*own, *(i for i, spec in gym.registry.items() if envs.is_from(spec, module.__name__))]


def newer_version(env_id: str) -> str | None:
    """The latest registered id of the same environment, if it is a later one."""
    match = re.fullmatch(r"(.*)-v(\d+)", env_id.rpartition(":")[2])
    if not match or envs.is_namesake(env_id):
        return None
    versions = [
        int(m[1]) for i in gym.registry if (m := re.fullmatch(re.escape(match[1]) + r"-v(\d+)", i))
    ]
    latest = max(versions, default=0)
    return f"{match[1]}-v{latest}" if latest > int(match[2]) else None


def _import_all(modules: Sequence[str], env_name: str) -> str | None:
    """Imports modules; the one that brought the environment is what workers must import too."""
    found_in = None
    for module in modules:
        before = gym.registry.get(env_name)
        try:
            places.load(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise BadInput(f"imports {module}: {told(error)}") from error
            raise BadInput(
                f"imports {module}: {error}. Run rltune in the folder that holds it, or put that "
                "folder on PYTHONPATH"
            ) from error
        except (Exception, SystemExit) as error:
            raise BadInput(f"imports {module}: {told(error)}") from error
        if gym.registry.get(env_name) is not before:
            found_in = module
    spec = gym.registry.get(env_name)
    if found_in or spec is None:
        return found_in
    return next((m for m in modules if envs.is_from(spec, places.load(m).__name__)), None)


# --- what is in this process already --------------------------------------------------------------


def _registered_with_ray(given: EnvLike) -> EnvLike:
    """What a name stands for that this process has given to ``ray.tune.register_env``."""
    registry = sys.modules.get("ray.tune.registry")
    if registry is None or not isinstance(given, str) or given in envs.INFOS:
        return given
    names = registry._global_registry
    kind = registry.ENV_CREATOR
    creator = names.get(kind, given) if names.contains(kind, given) else given
    # What rltune itself has registered for RLlib's own engine stands for its name.
    ours = isinstance(creator, partial) and creator.func is envs.make
    return given if ours else creator


def _name_of(given: Any) -> str:
    """``module:Class`` of what was given as an object, which workers import it by."""
    if isinstance(given, gym.Env):
        raise BadInput(
            f"environment {given}: give the class or a function that makes one, not an instance: "
            "every trial makes its own"
        )
    if isinstance(given, type) and not issubclass(given, gym.Env):
        raise BadInput(f"{given.__qualname__} is no environment: it must subclass gymnasium.Env")
    try:
        return places.place_of(given)
    except ValueError as error:
        shown = getattr(given, "__qualname__", repr(given))
        raise BadInput(f"environment {shown}: workers cannot import it: {error}") from None


def _place_of_id(spec: Any, imports: Sequence[str]) -> str:
    """What workers must load so that an id is registered there, too; empty for nothing.

    Raises:
        BadInput: nothing that is known here would do.
    """
    if envs.registrations.is_stock(spec) or spec.id in _plugins():
        return ""
    entry = spec.entry_point
    module = entry.partition(":")[0] if isinstance(entry, str) else getattr(entry, "__module__", "")
    root = module.split(".")[0]
    candidates = list(imports)
    if root in ("__main__", "gymnasium"):  # a class of gymnasium's, with other arguments
        candidates += places.names_of_main()
    else:
        candidates += dict.fromkeys([module, root])
    for place in candidates:
        if guarded(f"environment {spec.id!r}", partial(_is_registered_by, place, spec.id)):
            return place
    what = f"environment {spec.id!r} was registered in this process"
    if not candidates:
        raise BadInput(f"{what}, which is a notebook or an interactive session: {IN_A_FILE}")
    raise BadInput(
        f"{what}, and workers that load {' or '.join(candidates)} would not find it: call "
        "gymnasium.register at the top level of the module that defines it, or give the class "
        "itself with its arguments as env_args"
    )


def _is_registered_by(place: str, env_id: str) -> bool:
    """Whether loading a place afresh registers an id; done in a process of its own."""
    gym.registry.pop(env_id, None)
    top = place.split(".")[0]
    for name, module in list(sys.modules.items()):
        if f"{name}.".startswith(f"{top}.") or _is_users(module):
            del sys.modules[name]
    if places.is_file(place):
        sys.modules["__main__"] = ModuleType("__main__")
    with warnings.catch_warnings(action="ignore"):  # of other ids that are registered again
        places.load(place)
    return env_id in gym.registry


def _is_users(module: ModuleType) -> bool:
    """Whether a module is neither installed nor rltune's."""
    file, name = getattr(module, "__file__", None), module.__name__
    if not file or name == "__main__" or name.split(".")[0] == "rltune":
        return False
    return not file.startswith((sys.prefix, sys.base_prefix))


def _plugins() -> set[str]:
    """Ids of packages that gymnasium itself loads in every process."""
    plugins = _entry_points()  # reads the metadata of all that is installed
    return {
        env_id
        for env_id, spec in gym.registry.items()
        if any(envs.is_from(spec, plugin) for plugin in plugins)
    }


def _entry_points() -> list[str]:
    return [point.module.split(".")[0] for point in entry_points(group="gymnasium.envs")]
