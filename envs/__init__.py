"""Environments: short names for gymnasium ids, and the one way an environment is made.

A family is one module here with a ``FAMILY``; adding one takes a new module and a row in
``FAMILIES`` (construct.py). A family's package is imported when the first of its environments is
made. All training and evaluation makes environments with :func:`make` and :func:`make_vec`, in the
driver and in Ray workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, VectorEnv
from rltune.envs import arguments, places, pool, registrations
from rltune.envs.closing import close, make_all
from rltune.envs.coded import Copies, DecodeActions, EncodeObservations, MaskBeside, OwnArrays
from rltune.envs.construct import (
    CONFIG_NAMES,
    FAMILIES,
    INFOS,
    construct,
    family,
    gym_id,
    is_namesake,
    is_replaced,
    is_stock,
    known,
    own_creator,
    reveal,
)
from rltune.envs.draws import SEEDED, OwnDraws
from rltune.envs.frames import JoinFrames, frames_of, joined
from rltune.envs.fresh_arrays import FreshArrays
from rltune.envs.info import EnvInfo, bare
from rltune.envs.registrations import is_from, registered
from rltune.envs.workers import POSSIBLE, Processes, Workers

from rltune.engine.codec import ActionCodec, ObservationCodec, action_codec, has_mask

__all__ = [
    "CONFIG_NAMES",
    "FAMILIES",
    "INFOS",
    "MAX_EPISODE_STEPS",
    "POSSIBLE",
    "Copies",
    "EnvInfo",
    "JoinFrames",
    "Processes",
    "Workers",
    "arguments",
    "authored",
    "authored_actions",
    "bare",
    "close",
    "coded",
    "construct",
    "family",
    "frames_of",
    "gym_id",
    "in_lockstep",
    "is_from",
    "is_namesake",
    "is_replaced",
    "is_stock",
    "joined",
    "known",
    "make",
    "make_batch",
    "make_vec",
    "own_creator",
    "places",
    "registered",
    "registrations",
    "reveal",
    "steps_at_once",
    "with_mask",
]

#: Number of copies from which an environment's own vectorised version is faster (measured on
#: CartPole: one vectorised step costs as much as four single ones).
VECTORISED_FROM = 4

#: Steps after which an episode is truncated if the environment sets no limit, so that a policy that
#: never ends an episode can be scored. The environment argument ``max_episode_steps`` overrides it.
MAX_EPISODE_STEPS = 10_000


def make(
    name: str,
    env_args: Mapping[str, Any] | None = None,
    frame_stack: int = 1,
    form: str = "auto",
) -> gym.Env[Any, Any]:
    """Makes one environment with the observations and actions of a policy.

    >>> env = make("cartpole", {"max_episode_steps": 100})
    >>> env.action_space
    Discrete(2)
    >>> observation, info = env.reset(seed=0)
    >>> observation.shape
    (4,)

    Args:
        name: short name, gymnasium id, ``module:Id-v0`` or ``module:Class``.
        env_args: keyword arguments of the environment's constructor, and ``max_episode_steps``.
        frame_stack: number of observations joined along their last axis, the newest last.
        form: how observations are read, see :class:`rltune.engine.codec.ObservationCodec`.

    Raises:
        UnsupportedSpace: rltune's policies cannot read its observations or act in it.
    """
    return coded(authored(name, env_args), frame_stack, form)


def coded(env: gym.Env[Any, Any], frame_stack: int = 1, form: str = "auto") -> gym.Env[Any, Any]:
    """Wraps an environment of :func:`authored` in the codec; see :func:`make`."""
    codec = action_codec(env.action_space)
    env = OwnArrays(_readable(env, codec, frame_stack, form))
    return env if codec.is_identity else DecodeActions(env, codec)


def authored(name: str, env_args: Mapping[str, Any] | None = None) -> gym.Env[Any, Any]:
    """Makes one environment with its author's spaces; its episodes have a limit."""
    env = construct(name, env_args)
    if env.spec is not None and env.spec.max_episode_steps is None:
        own = (env_args or {}).get("max_episode_steps")  # its constructor took that
        # It ends them itself, perhaps a step later.
        limit = own + 1 if isinstance(own, int) else 0
        env = gym.wrappers.TimeLimit(env, max(MAX_EPISODE_STEPS, limit))
    return env


def authored_actions(env: gym.Env[Any, Any]) -> gym.Space[Any]:
    """Returns the author's action space of an environment of :func:`make`."""
    return env.env.action_space if isinstance(env, DecodeActions) else env.action_space


def with_mask(env: gym.Env[Any, Any], actions: ActionCodec) -> gym.Env[Any, Any]:
    """Adds the masks of an environment with ``action_masks()`` to its observations."""
    masks = actions.choices and env.has_wrapper_attr("action_masks")
    if not masks or has_mask(env.observation_space):
        return env
    return MaskBeside(env, actions.choices)


def _readable(
    env: gym.Env[Any, Any], actions: ActionCodec, frame_stack: int, form: str
) -> gym.Env[Any, Any]:
    """Converts an environment's observations to those that the policy reads."""
    env = with_mask(env, actions)
    codec = ObservationCodec(env.observation_space, form, actions.choices)
    if not codec.is_identity:
        env = EncodeObservations(env, codec)
    return JoinFrames(env, frame_stack) if frame_stack > 1 else env


def make_vec(
    name: str,
    num_envs: int,
    env_args: Mapping[str, Any] | None = None,
    frame_stack: int = 1,
    simulator: str = "gymnasium",
    form: str = "auto",
    processes: Processes | None = None,
) -> VectorEnv:
    """Makes ``num_envs`` copies that step together; see :func:`make`.

    Uses an environment's own vectorised version if there is one, there are enough copies (CartPole:
    12 times the steps per second at 64) and the codec changes nothing; otherwise the copies step
    one after the other, in this process or in several (:class:`Workers`), with the same results.

    Args:
        simulator: "gymnasium", or "envpool" if :func:`rltune.envs.pool.problem` returns None.
        form: as in :func:`make`.
        processes: in which to step the copies; None for this one.

    Raises:
        ValueError: several processes for what steps all copies at once; or stacked observations of
            EnvPool.
    """
    if processes is not None and min(processes.count, num_envs) > 1 and POSSIBLE:
        if simulator == "envpool" or steps_at_once(name, num_envs, frame_stack):
            raise ValueError(f"all copies of {name} step at once: env_processes must be 1")
        made = partial(_copies, name, env_args=env_args, frame_stack=frame_stack, form=form)
        return Workers(made, num_envs, processes)
    if simulator == "envpool":
        if frame_stack > 1:
            raise ValueError(f"EnvPool stacks no observations of {name}: frame_stack must be 1")
        like = authored(name, env_args)
        codec = action_codec(like.action_space)
        return pool.Pooled(gym_id(name), num_envs, like, codec)
    env = _own_version(name, num_envs, env_args, frame_stack, form)
    return env or _copies(name, num_envs, env_args, frame_stack, form)


def make_batch(
    name: str,
    members: int,
    num_envs: int,
    env_args: Mapping[str, Any] | None = None,
    frame_stack: int = 1,
    form: str = "auto",
) -> VectorEnv:
    """Makes the copies of all members of a batch, ``num_envs`` a member, which step together.

    Episodes restart as those of one member's copies by themselves (:func:`make_vec`): within the
    step that ends them (SAME_STEP autoreset), or with the next one (NEXT_STEP). What a copy does
    depends on its own seed and actions alone: ``reset`` takes a list of seeds, one a copy. Other
    arguments are those of :func:`make_vec`.
    """
    autoreset = _autoreset(name, num_envs, env_args, frame_stack, form)
    if members * num_envs >= VECTORISED_FROM and in_lockstep(name, frame_stack):
        env = _vectorised(name, members * num_envs, env_args, form)
        if env is not None:
            return OwnDraws(env, autoreset)
    return _copies(name, members * num_envs, env_args, frame_stack, form, autoreset, survives=True)


def _autoreset(
    name: str, num_envs: int, env_args: Mapping[str, Any] | None, frame_stack: int, form: str
) -> AutoresetMode:
    """How :func:`make_vec` restarts the episodes of so many copies."""
    env = _own_version(name, num_envs, env_args, frame_stack, form)
    if env is None:
        return AutoresetMode.SAME_STEP
    next_step = env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    close(env)
    return AutoresetMode.NEXT_STEP if next_step else AutoresetMode.SAME_STEP


def in_lockstep(name: str, frame_stack: int = 1) -> bool:
    """Whether :func:`make_batch` steps copies at once, and each plays exactly as one of
    :func:`make` does with the same seed and actions."""
    if not isinstance(name, str) or frame_stack > 1:
        return False
    env_id = gym_id(name)
    return env_id in SEEDED and not is_replaced(env_id)


def _own_version(
    name: str, num_envs: int, env_args: Mapping[str, Any] | None, frame_stack: int, form: str
) -> VectorEnv | None:
    """An environment's own vectorised version, where :func:`make_vec` uses it."""
    if not steps_at_once(name, num_envs, frame_stack):
        return None
    env = _vectorised(name, num_envs, env_args, form)
    return env if env is None or in_lockstep(name) else FreshArrays(env)


def steps_at_once(name: str, num_envs: int, frame_stack: int = 1) -> bool:
    """Whether so many copies have a vectorised version, which :func:`make_vec` prefers."""
    enough = frame_stack == 1 and num_envs >= VECTORISED_FROM
    return enough and _has_vectorised(gym_id(name))


def _vectorised(
    name: str, num_envs: int, env_args: Mapping[str, Any] | None, form: str
) -> VectorEnv | None:
    """An environment's own vectorised version; None where the codec would change anything."""
    args = reveal(env_args or {})
    if args.get("max_episode_steps") == -1:  # of gymnasium.make: no limit of its own
        args["max_episode_steps"] = MAX_EPISODE_STEPS
    env = gym.make_vec(
        registered(gym_id(name)),
        num_envs=num_envs,
        vectorization_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT,
        **args,
    )
    codec = action_codec(env.single_action_space)
    if codec.is_identity and ObservationCodec(env.single_observation_space, form).is_identity:
        return env
    close(env)
    return None


def _copies(
    name: str,
    num_envs: int,
    env_args: Mapping[str, Any] | None,
    frame_stack: int,
    form: str,
    autoreset: AutoresetMode = AutoresetMode.SAME_STEP,
    survives: bool = False,
) -> Copies:
    """Copies that step one after the other; ``survives``: one that raises is made again."""
    first = authored(name, env_args)
    codec = action_codec(first.action_space)
    made = [first]  # made already, for its action space

    def copy() -> gym.Env[Any, Any]:
        env = made.pop() if made else authored(name, env_args)
        return _readable(env, codec, frame_stack, form)

    copies = make_all(copy, num_envs)
    _check_alike(copies)
    makers = [partial(_same, one) for one in copies]
    return Copies(makers, codec, autoreset, copy if survives else None)


def _check_alike(copies: Sequence[gym.Env[Any, Any]]) -> None:
    for name in ("observation_space", "action_space"):
        first, *others = (getattr(copy, name) for copy in copies)
        for number, space in enumerate(others, start=2):
            if space != first:
                raise ValueError(
                    f"the {name} of copy {number} is {space}, that of the first {first}: every "
                    "copy must have the same"
                )


def _same(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return env


def _has_vectorised(env_id: Any) -> bool:
    """Whether an environment has a vectorised version equal to the copies made here."""
    if not isinstance(env_id, str):
        return False  # a class or a function
    its_family = family(env_id)
    if its_family is not None and its_family.make is not gym.make:
        return False
    spec = None if own_creator(env_id) else registered(env_id)
    return bool(spec and spec.vector_entry_point and spec.max_episode_steps)
