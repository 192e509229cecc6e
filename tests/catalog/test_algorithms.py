"""The contract of an algorithm's row: what it names exists, and texts name every algorithm."""

from __future__ import annotations

from typing import get_args

import pytest

import rltune
from rltune import catalog
from rltune.catalog.algorithms import ALGORITHMS
from rltune.catalog.settings import Setting
from rltune.cli import options
from rltune.request.preflight import KINDS


@pytest.mark.parametrize("algo", ALGORITHMS)
class TestEveryAlgorithm:
    """A new row is tested by existing."""

    def test_is_filed_under_its_name(self, algo: str) -> None:
        assert ALGORITHMS[algo].name == algo
        assert ALGORITHMS[algo].title

    def test_acts_in_known_kinds_of_action_space(self, algo: str) -> None:
        assert ALGORITHMS[algo].actions
        assert ALGORITHMS[algo].actions <= set(KINDS)

    def test_says_what_each_setting_is(self, algo: str) -> None:
        for name, setting in ALGORITHMS[algo].settings.items():
            assert isinstance(setting, Setting), name
            assert setting.doc, name

    def test_constrains_settings_that_it_has(self, algo: str) -> None:
        for constraint in ALGORITHMS[algo].constraints:
            assert constraint.names() <= set(ALGORITHMS[algo].settings), constraint.text

    def test_has_a_default_preset_that_is_searched(self, algo: str) -> None:
        preset = catalog.preset(algo, rltune.envs.EnvInfo("Any-v0", "Any-v0"))
        assert ALGORITHMS[algo].mutable(preset.space)


def _either(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def test_help_and_documentation_name_every_algorithm() -> None:
    """They are written by hand: what they follow from takes too long to import for --help."""
    _, argument = get_args(options.AlgoArgument)
    assert argument.help == f"{_either(sorted(ALGORITHMS))}."
    quoted = _either([f'"{name}"' for name in sorted(ALGORITHMS)])
    assert f"algo: {quoted}." in (rltune.sweep.__doc__ or "")
