"""``rltune traim ppo cartpole``: a first word that is nearly a command."""

from __future__ import annotations

from rltune.catalog.algorithms import ALGORITHMS
from rltune.cli.app import COMMANDS
from rltune.errors import BadInput, did_you_mean


def run(*, word: str) -> None:
    """Lets algorithms pass, and words that are nearer to one of them.

    Raises:
        BadInput: the word is nearer to a command.
    """
    if word in ALGORITHMS or did_you_mean(word, ALGORITHMS):
        return
    if hint := did_you_mean(word, COMMANDS):
        raise BadInput(f"Unknown command {word!r}.{hint}")
