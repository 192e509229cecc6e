"""How commands are written: the usage line of help, and its defaults for a preset that is named.

Nothing here takes time to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from rltune.errors import BadInput

#: How the address of a Ray Client server begins: there, another machine gets the options.
CLIENT = "ray://"
#: A command line that is not as a command is written; typer shows no other name of its class.
UsageError: type[Any] = typer.BadParameter.__mro__[1]


def check_words(words: Sequence[str]) -> None:
    """Checks that no word is empty: as a path, that would be the current folder.

    Raises:
        BadInput: one is, as where a shell's variable is not set.
    """
    for before, word in pairwise(["rltune", *words]):
        name, equals, value = word.partition("=")
        if not word or (name.startswith("--") and equals and not value):
            place = name or before
            what = f"{place} ''" if place.startswith("-") else f"the word after {place!r}"
            raise BadInput(f"{what} is empty: give a value, or leave it out")


class Command(TyperCommand):
    """A command whose usage line reads as it is typed: its arguments, then its options."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Writes the usage line."""
        formatter.write_usage(self.typed(ctx), "[OPTIONS]")

    def typed(self, ctx: Any) -> str:
        """The command with its arguments."""
        names = [
            str(param.metavar) if param.required else f"[{param.metavar}]"
            for param in self.params
            if isinstance(param, TyperArgument)
        ]
        return " ".join([ctx.command_path, *names])

    def options_typed(self, ctx: Any, args: list[str]) -> dict[str, list[str]]:
        """The words of options as they were typed, by name; a switch has "True" or "False"."""
        typed = {} if ctx.resilient_parsing else self.make_parser(ctx).parse_args(list(args))[0]
        named = {param.name for param in self.params if isinstance(param, TyperOption)}
        return {
            name: [str(each) for each in (word if isinstance(word, list) else [word])]
            for name, word in typed.items()
            if name in named
        }


class Forwarding(Command):
    """A command whose options another machine gets, as they were typed.

    They are in its context's ``meta["options"]``, see :meth:`Command.options_typed`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keeps the words of options before they are read as values."""
        words = self.options_typed(ctx, args)
        rest = super().parse_args(ctx, args)
        ctx.meta["options"] = words
        return rest


class MainJob(Command):
    """``rltune ALGO ENV``: a command without a word of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Looks at the first words before they are taken for an algorithm and an environment."""
        ctx.meta["words"] = words = [word for word in args[:2] if not word.startswith("-")]
        if words and args[0] == words[0]:
            import_module("rltune.cli.mistyped").check_first(words[0], args[1:])
        if any(CLIENT in word for word in args):
            ctx.meta["options"] = self.options_typed(ctx, args)
        return super().parse_args(ctx, args)

    def typed(self, ctx: Any) -> str:
        """The command as it was typed, where algorithm and environment are named."""
        words = ctx.meta.get("words", [])
        return " ".join(["rltune", *(words if len(words) == 2 else ("ALGO", "ENV"))])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help, with the defaults of the preset that is named."""
        words = ctx.meta.get("words", [])
        defaults = {}
        if len(words) == 2:
            defaults = import_module("rltune.cli.mistyped").preset_defaults(*words)
        for param in self.params:
            if isinstance(param, TyperOption) and param.name in defaults:
                param.default = defaults[param.name]
        super().format_help(ctx, formatter)
