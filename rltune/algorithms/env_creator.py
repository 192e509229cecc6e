"""The environment of a config, in every way that RLlib takes one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from ray.rllib.env.env_context import EnvContext
from ray.tune.registry import ENV_CREATOR, _global_registry, register_env

from rltune import envs


def env_arguments(
    config: Any, worker_index: int, num_workers: int
) -> tuple[Any, Mapping[str, Any]]:
    """What :func:`rltune.envs.make` takes for a config's ``env`` and ``env_config``.

    A name given to ``ray.tune.register_env``, a class and a function are called as RLlib calls
    them, with the whole ``env_config``. So is rltune's own where a class has parameters of other
    names: those of ``env_config`` reach them by name, which RLlib cannot do.
    """
    context = EnvContext(
        config.env_config,
        worker_index=worker_index,
        num_workers=num_workers,
        remote=bool(config.remote_worker_envs),
    )
    env = config.env
    if isinstance(env, str):
        if env in envs.INFOS or not _global_registry.contains(ENV_CREATOR, env):
            return env, context
        return partial(_global_registry.get(ENV_CREATOR, env), context), {}
    if not callable(env) or _by_name(env, config.env_config):
        return env, context
    return _RLlibCreator(env, context), {}


def register_with_rllib(env: Any) -> None:
    """Registers a name that RLlib's own engine could not make an environment of by itself."""
    ours = isinstance(env, str) and (env in envs.INFOS or ":" in env)
    if ours and not _global_registry.contains(ENV_CREATOR, env):
        register_env(env, partial(envs.make, env))


class _RLlibCreator:
    """A class or function with RLlib's one argument."""

    def __init__(self, creator: Any, context: EnvContext) -> None:
        self._creator, self._context = creator, context
        self.__name__ = getattr(creator, "__name__", "environment")
        if hasattr(creator, "metadata"):
            self.metadata = creator.metadata

    def __call__(self, **kwargs: Any) -> Any:
        return self._creator(self._context, **kwargs)


def _by_name(creator: Any, env_config: Mapping[str, Any]) -> bool:
    """Whether a class takes its arguments by name, as gymnasium's do."""
    try:
        parameters = list(inspect.signature(creator).parameters.values())
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not positional or positional[0].name in envs.CONFIG_NAMES:
        return not positional
    first = positional[0]
    if env_config:
        return set(env_config) <= {p.name for p in parameters}
    return first.default is not first.empty and first.default is not None
