"""Checks whether a run folder is the user's own, and what in another one would run code.

A folder that this user made on this machine is signed with their key, see
:mod:`rltune.runs.signatures`. Any other folder is data: it is read, shown, scored and resumed, but
nothing in it is imported or unpickled until the user trusts it, see docs/security.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym

from rltune import envs
from rltune.catalog.algorithms import setting_problems
from rltune.envs import arguments
from rltune.errors import BadCheckpoint, BadInput
from rltune.runs import checkpoints, signatures, state_file
from rltune.runs.folder import RunFolder
from rltune.space.derived import is_text
from rltune.spec import RunSpec

#: Gymnasium's ids whose arguments name another environment to import.
_SHIMS = re.compile(r"GymV\d+Environment-v\d+")
#: Kinds of environment arguments that are found by import path.
_CODE = {
    kind.name
    for kind in (
        arguments.OBJECT,
        arguments.ENUM,
        arguments.NAMEDTUPLE,
        arguments.DATACLASS,
        arguments.PACKED,
    )
}


def check_trusted(folder: RunFolder, trust: bool = False, resumes: bool = False) -> None:
    """Checks that a run's environment may be made and, for a resume, its checkpoints opened.

    Args:
        trust: whether the user trusts the folder: it is then signed as their own.
        resumes: whether its trials are to continue.

    Raises:
        BadInput: the folder is not this user's own, and would run code or access files outside it;
            the message lists what.
    """
    if trust:
        adopt(folder)
        return
    own = is_own(folder)
    asks = [] if own else code_of(folder.spec)
    if resumes:
        asks += [] if own else _reaches(folder)
        asks += [f"opens the pickles in {name}" for name in _unsigned_pickles(folder)]
        asks += _links(folder.path)
    if asks:
        raise BadInput(
            [
                f"{folder.shown} is not signed by this user: somebody else or an earlier rltune "
                "made it, or it was changed since. It is not used as it is, because it",
                *(f"  {each}" for each in asks),
                "If you trust who made it, add `trust=True` (in Python: rltune.trust(path)): that "
                "signs it as yours, once and for all.",
            ]
        )


def is_own(folder: RunFolder) -> bool:
    """Whether this user made a run folder, which may have been moved or copied since."""
    return signatures.is_signed_file(folder.path / "run.json")


def adopt(folder: RunFolder) -> None:
    """Signs a run folder as this user's own, and every checkpoint in it that contains pickles.

    A folder that cannot be written to is trusted only this time.
    """
    if not os.access(folder.path, os.W_OK):
        return
    signatures.sign_file(folder.path / "run.json")
    names = _unsigned_pickles(folder)
    for name in names:
        checkpoints.sign(folder.path / name)
    folder.send(".run.json.signature", *(f"{name}/{checkpoints.MANIFEST}" for name in names))


def code_of(spec: RunSpec) -> list[str]:
    """Lists what in a request is code that is imported by name, in words that follow "it"."""
    if not spec.plays:
        own = [
            f"computes the setting {name} by {at}"
            for name, at in spec.derived.items()
            if not is_text(at)
        ]
        return [f"runs {spec.env_id}", *own]
    actions = [f"imports the module {name}" for name in spec.env_options.imports]
    for single in spec.singles:
        if not is_known(single.env_id):
            actions.append(f"makes the environment {single.env_id}")
        env_args = dict(single.env_options.env_args)
        actions += [f"passes its environment {place}" for place in _objects(env_args)]
    return actions


def is_known(env_id: str) -> bool:
    """Whether an environment is in the catalog, or registered by an installed package."""
    if env_id in envs.INFOS:
        return True
    known = envs.known(env_id)
    if known is not None:
        return env_id in (known.id, envs.bare(known.id))
    return ":" not in env_id and env_id in gym.registry and not _SHIMS.fullmatch(env_id)


def _objects(value: Any) -> Iterator[str]:
    """Yields the import paths in encoded arguments."""
    if isinstance(value, Mapping):
        if value.get(arguments.TAG) in _CODE:
            yield str(value.get("value"))[:200]
            return
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _objects(item)


def _reaches(folder: RunFolder) -> list[str]:
    """Lists what else a resumed run calls or accesses outside its folder."""
    actions, spec = [], folder.spec
    if spec.resources.address is not None:
        actions.append(f"connects to the Ray cluster {spec.resources.address}")
    actions += [f"calls {name}, a callback" for name in spec.callbacks]
    actions += [f"sends what it reports to {name}" for name in spec.log]
    if (certificate := folder.job.certificate) is not None:
        actions.append(f"writes the certificate {certificate.get('file')}")
    return actions


def _links(path: Path) -> list[str]:
    links = (each for each in path.rglob("*") if each.is_symlink())
    return [
        f"links {each.relative_to(path)} to {each.resolve()}"
        for each in links
        if not each.resolve().is_relative_to(path)
    ]


def saved_trials(folder: RunFolder) -> list[dict[str, Any]]:
    """Returns the trials of a run's saved state, after checks of their settings and paths.

    Raises:
        BadInput: a setting is unknown or out of range, or a path leads out of the run folder.
    """
    saved = state_file.read(folder.path) or {}
    spec = folder.spec
    try:
        return [_checked(folder, spec, body) for body in saved.get("trials", [])]
    except (AttributeError, KeyError, TypeError) as error:
        raise BadInput(f"{folder.shown}/{state_file.STATE} is damaged: {error!r}") from error


def _checked(folder: RunFolder, spec: RunSpec, body: dict[str, Any]) -> dict[str, Any]:
    place = f"{folder.shown}/{state_file.STATE}"
    if not re.fullmatch(r"t\d+", body["id"]):
        raise BadInput(f"{place}: {body['id']!r} is no trial of rltune's")
    config = dict(body["config"])
    exploit = config.pop("exploit", None) or {}
    seed = config.pop("seed", 0)
    if not isinstance(seed, int):
        raise BadInput(f"{place}: {body['id']} has the seed {seed!r}")
    if problems := setting_problems(spec, config):
        raise BadInput([f"{place}: {body['id']}: {n}: {what}" for n, what in problems.items()])
    for name in (body["checkpoint"], body["start"], exploit.get("own_checkpoint")):
        if name is not None:
            folder.inside(name)
    return body


def _unsigned_pickles(folder: RunFolder) -> list[str]:
    """Lists checkpoints with another user's pickles that an unfinished run would load."""
    parts = [f"/{one.name}" for one in folder.spec.environments] or [""]
    names = {
        f"{name}{part}"
        for body in saved_trials(folder)
        if body["status"] not in ("TERMINATED", "ERROR")
        for name in (body["start"], body["checkpoint"])
        for part in parts
        if name is not None
    }
    return sorted(name for name in names if _has_unsigned_pickles(folder.path / name))


def _has_unsigned_pickles(checkpoint: Path) -> bool:
    try:
        return not checkpoints.is_data(checkpoint) and not checkpoints.is_signed(checkpoint)
    except BadCheckpoint:
        return False  # a damaged checkpoint is reported when it is loaded
