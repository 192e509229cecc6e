"""The command line that a cluster runs: the user's own words, in a place that stays the same."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rltune.clusters import own_files
from rltune.envs import places
from rltune.envs.arguments import secret_variables
from rltune.errors import BadInput
from rltune.spec import RunSpec

#: Options whose words may name files.
FILES = ("preset", "points")


@dataclass(frozen=True)
class Command:
    """A sweep as a cluster starts it, and continues it when it starts it again.

    Attributes:
        run: path of the run folder there.
        start: words that start the sweep.
        resume: words that continue it.
        files: of the user's own that it needs, relative to the folder that it was asked for in.
        variables: environment variables that hold its secrets.
    """

    run: str
    start: tuple[str, ...]
    resume: tuple[str, ...]
    files: tuple[Path, ...] = ()
    variables: tuple[str, ...] = ()

    @property
    def script(self) -> str:
        """Shell commands that continue the run if it has begun, and start it otherwise."""
        run = shlex.quote(f"{self.run}/run.json")
        return (
            f"if [ -f {run} ]; then\n  exec {shlex.join(self.resume)}\nfi\n"
            f"exec {shlex.join(self.start)}"
        )


@dataclass(frozen=True)
class Asked:
    """What was typed: each option with its words.

    Attributes:
        words: by the option's name; of an option that may come again, in their order.
        spelled: the words that are typed for an option and its word.
        ship: further files and folders that the user's code reads.
    """

    algo: str
    env: str
    words: Mapping[str, Sequence[str]]
    spelled: Callable[[str, str], Sequence[str]]
    ship: Sequence[str] = ()

    def command(self, spec: RunSpec, storage: str, travels: bool, trust: bool) -> Command:
        """The command that a cluster runs.

        Args:
            spec: the request, checked.
            storage: folder of runs on the cluster.
            travels: whether the user's files are not on the cluster's storage already.
            trust: whether the run was signed with another machine's key.

        Raises:
            BadInput: a file or a secret cannot get there.
        """
        asked = self._relative(Path.cwd()) if travels else self
        files = self._files(Path.cwd()) if travels else []
        env_args = _without_secrets(self.words.get("env_args", ()), spec)
        place = {"storage": [storage], "name": [spec.name], "address": ["auto"]}
        words = {**asked.words, "env_args": env_args, **place}
        run = f"{storage}/{spec.name}"
        kept = self._spelled({name: self.words.get(name, ()) for name in ("json", "quiet")})
        args = [one.env_options.env_args for one in spec.singles]
        secrets = {name for each in args for name in secret_variables(each)}
        return Command(
            run,
            ("rltune", self.algo, asked.env, *self._spelled(words)),
            ("rltune", "resume", run, *kept, *(["--trust"] if trust else [])),
            tuple(files),
            tuple(sorted(secrets)),
        )

    def _files(self, folder: Path) -> list[Path]:
        """Files that travel, relative to the user's folder."""
        if self.words.get("former"):
            raise BadInput("former runs are on this machine: leave them out")
        modules = [self.env, *self.words.get("imports", ()), *self.words.get("callbacks", ())]
        named = [word for name in FILES for word in self._named_files(name)]
        code = own_files.of_modules(modules, folder)
        return sorted({*code, *own_files.shipped([*named, *self.ship], folder)})

    def _named_files(self, option: str) -> list[str]:
        return [word for word in self.words.get(option, ()) if Path(word).is_file()]

    def _relative(self, folder: Path) -> Asked:
        """The same with the paths of files relative to the user's folder."""
        words = dict(self.words)
        for name in ("imports", "callbacks"):
            words[name] = [_relative(word, folder) for word in words.get(name, ())]
        for name in FILES:
            files = {word: str(own_files.within(word, folder)) for word in self._named_files(name)}
            words[name] = [files.get(word, word) for word in words.get(name, ())]
        return replace(self, env=_relative(self.env, folder), words=words)

    def _spelled(self, words: Mapping[str, Sequence[str]]) -> list[str]:
        return [
            w for name, given in words.items() for each in given for w in self.spelled(name, each)
        ]


def _relative(word: str, folder: Path) -> str:
    """A word that names a file, with the file's path relative to a folder."""
    place, rest = places.split(word)
    if places.is_file(rest) and not place:
        return str(own_files.within(rest, folder))
    return f"{own_files.within(place, folder)}:{rest}" if places.is_file(place) else word


def _argument(key: str, spec: RunSpec) -> Any:
    """The encoded argument of a key; of several environments the key names one of them."""
    if not spec.environments:
        return spec.env_options.env_args.get(key)
    place, _, name = key.rpartition(":")
    owners = (one for one in spec.environments if place in (one.name, one.env, one.env_id))
    return next((one.env_args.get(name) for one in owners), None)


def _without_secrets(words: Sequence[str], spec: RunSpec) -> list[str]:
    """``KEY=VALUE`` words with the variable of a secret in place of its value.

    Raises:
        BadInput: a secret within a table, which has no word of its own.
    """
    kept = []
    for word in words:
        name = word.partition("=")[0]
        value: Any = _argument(name, spec)
        hidden = secret_variables({name: value})
        if hidden and not isinstance(value, str):
            raise BadInput(
                f"env_args {name}: a secret within a table cannot be written to a file; give it as "
                f"an argument of its own"
            )
        kept.append(f"{name}={value}" if hidden else word)
    return kept
