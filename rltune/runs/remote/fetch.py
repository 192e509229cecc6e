"""Brings a working copy up to date with the store. What is there may be a stranger's."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rltune.errors import BadInput
from rltune.runs.remote import log as store_log
from rltune.runs.remote.log import Piece, number_of
from rltune.runs.remote.store import Item, Store, is_plain
from rltune.runs.remote.tree import (
    HEAD,
    MANIFEST_FILE,
    Known,
    checkpoint_folders,
    checkpoint_of,
    is_record,
    records,
    stamp,
)

#: How often a fetch begins again because the run went on meanwhile.
TRIES = 5


class Fetch:
    """Fetches what has changed of a run.

    Args:
        root: the working copy.
    """

    def __init__(self, store: Store, root: Path) -> None:
        self._store = store
        self._root = root
        self._known = Known.read(root)

    def run(self, only: Collection[str] | None = None) -> None:
        """Fetches records, and heads of checkpoints, and removes what the store has not.

        Args:
            only: the records that are wanted, of those at the top; None for all.

        Raises:
            BadInput: the run is damaged.
            StoreFailed: the store does not answer.
        """
        for _ in range(TRIES):
            try:
                return self._run(only)
            except FileNotFoundError:  # sent whole, or removed, since it was listed
                continue
        raise BadInput(f"run {self._store.url} changes faster than it can be read: try again")

    def _run(self, only: Collection[str] | None) -> None:
        items = self._items(only)
        log = {name: item.tag for name, item in items.items() if number_of(name) is not None}
        wanted = {n: item for n, item in items.items() if is_record(n) and _is_in(n, only)}
        emptied = bool(self._known.log.keys() - log.keys())
        fresh = [
            name
            for name, item in wanted.items()
            if not self._known.has(self._root, name, item.tag)
            or (emptied and self._known.files[name][2])
        ]
        self.download(fresh)
        self._known.files |= {name: self._seen(name, wanted[name].tag, False) for name in fresh}
        logged = self._apply(log, fresh, only)
        if only is None:
            self._fetch_checkpoints(items)
            self._remove_records(wanted.keys() | logged)
            self._known.log = log
        self._known.write(self._root)

    def _items(self, only: Collection[str] | None) -> Mapping[str, Item]:
        if only is None:
            return self._store.items()
        top = self._store.items(depth=1)
        return top if "summary.json" in top else {**top, **self._store.items(store_log.LOG)}

    def download(self, names: Sequence[str]) -> None:
        """Fetches objects, each whole or not at all. Raises FileNotFoundError if one is gone."""
        if not names:
            return
        self._root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".fetched-", dir=self._root) as folder:
            parts = {name: Path(folder, str(n)) for n, name in enumerate(names)}
            self._store.download(parts)
            for name, part in parts.items():
                self._place(name).parent.mkdir(parents=True, exist_ok=True)
                part.replace(self._root / name)

    def _place(self, name: str) -> Path:
        """Where an object lies here: never outside, whatever its name and whatever is here."""
        path = self._root / name
        if not is_plain(name) or not path.parent.resolve().is_relative_to(self._root):
            raise BadInput(f"run {self._store.url} has an object {name!r}, which leads out of it")
        return path

    def _seen(self, name: str, tag: str, logged: bool) -> tuple[tuple[int, int, int], str, bool]:
        return stamp(self._root / name) or (0, 0, 0), tag, logged

    def _apply(
        self, log: Mapping[str, str], fresh: Collection[str], only: Collection[str] | None
    ) -> set[str]:
        """Applies the log to records. Returns the names of those that it has changed.

        All of it to records that are fresh, what is new of it to the others.
        """
        new = {name for name, tag in log.items() if self._known.log.get(name) != tag}
        names = sorted(log if fresh else new)
        with TemporaryDirectory(prefix=".log-", dir=self._root) as folder:
            parts = {name: Path(folder, str(n)) for n, name in enumerate(names)}
            if parts:
                self._store.download(parts)
            for name, part in parts.items():
                for piece in store_log.unpacked(part):
                    is_due = name in new or piece.name in fresh
                    if is_due and is_record(piece.name) and _is_in(piece.name, only):
                        self._apply_piece(piece)
        return {name for name, (_, _, logged) in self._known.files.items() if logged}

    def _apply_piece(self, piece: Piece) -> None:
        store_log.apply(piece, self._place(piece.name))
        if piece.removes:
            self._known.files.pop(piece.name, None)
            return
        _, tag, _ = self._known.files.get(piece.name, (None, "", False))
        self._known.files[piece.name] = self._seen(piece.name, tag, True)

    def _fetch_checkpoints(self, items: Mapping[str, Item]) -> None:
        heads: list[str] = []
        there = {found[0] for name in items if (found := checkpoint_of(name)) is not None}
        whole = {name for name in there if f"{name}/{MANIFEST_FILE}" in items}
        tags = {name: items[f"{name}/{MANIFEST_FILE}"].tag for name in whole}
        for name in {*checkpoint_folders(self._root)} | whole:
            if name in whole and self._known.has_checkpoint(self._root, name, tags[name]):
                continue
            shutil.rmtree(self._root / name, ignore_errors=True)
            if name in whole:
                heads += [f"{name}/{file}" for file in HEAD if f"{name}/{file}" in items]
        self.download(heads)
        self._known.checkpoints = {
            name: (stamp(self._root / name / MANIFEST_FILE) or (0, 0, 0), tag)
            for name, tag in tags.items()
        }

    def _remove_records(self, there: Collection[str]) -> None:
        for name in [name for name, _ in records(self._root) if name not in there]:
            (self._root / name).unlink(missing_ok=True)
            self._known.files.pop(name, None)


def _is_in(name: str, only: Collection[str] | None) -> bool:
    return only is None or name in only
