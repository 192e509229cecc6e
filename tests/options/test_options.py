"""Options are checked by the groups that they are fields of, and named as Python names them."""

from __future__ import annotations

import inspect
import math
import re
from pathlib import Path
from typing import Any

import pytest

import rltune
from rltune import api, schedulers, searchers
from rltune.cli.options import OF_LANDSCAPES, OF_RACES
from rltune.errors import BadInput
from rltune.options import (
    GROUPS,
    OF_FUNCTIONS,
    OPTIONS,
    SCHEDULING,
    Budget,
    EnvOptions,
    Resources,
    as_bytes,
    options_of,
)
from rltune.request.functions import DEFAULTS
from rltune.request.resolve import make_spec

#: Options that stand in the dict ``population`` in Python; help shows a searcher's beside them.
OF_SCHEDULERS = {name for name, option in OPTIONS.items() if option.panel == SCHEDULING}
OF_SCHEDULERS -= {"cost_aware"}
OWN = {"algo", "env"}


def test_no_two_groups_have_an_option_of_the_same_name() -> None:
    assert len(OPTIONS) == sum(len(options_of(group)) for group in GROUPS)
    for name, option in OPTIONS.items():
        assert option.help.endswith("."), name


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("steps", 0, "at least 1"),
        ("steps", 1.5, "int"),
        ("steps", True, "int"),
        ("time_budget", 0.0, "above 0 seconds"),
        ("quantile", 0.6, r"in \(0, 0.5\]"),
        ("resample_probability", -0.1, r"in \[0, 1\]"),
        ("margin", math.nan, "a number"),
        ("target", math.nan, "a number"),
        ("time_budget", math.nan, "a number"),
        ("synchronous", 1, "bool"),
        ("env_timeout", -1.0, "above 0 seconds"),
        ("env_copies", 0, "at least 1"),
        ("concurrent", "two", "int"),
        ("cpus_per_trial", math.inf, "finite"),
        ("gpus_per_trial", math.inf, "finite"),
        ("cpus_per_trial", "1", "int or float"),
        ("gpus_per_trial", -1, "at least 0"),
        ("memory_per_trial", -1, "at least 0"),
        ("max_failures", -1, "at least 0"),
        ("seed", -1, "at least 0"),
        ("imports", "numpy", "a list of names"),
        ("settings", ["lr"], "a dict"),
        ("population", "pb2", "a dict"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(BadInput, match=f"^{name} must be {wanted}, got "):
        make_spec("ppo", "cartpole", **{name: value})


def test_a_group_names_every_wrong_value_when_it_is_made() -> None:
    with pytest.raises(BadInput) as refused:
        Resources(concurrent=0, max_failures=-1, memory_per_trial="lots")  # type: ignore[arg-type]
    assert refused.value.problems == [
        "concurrent must be at least 1, got 0",
        "memory_per_trial 'lots' is no size: write it like 2GiB or 500MB",
        "max_failures must be at least 0, got -1",
    ]
    with pytest.raises(BadInput, match=r"Unknown simulator 'envpol'\. Did you mean 'envpool'"):
        EnvOptions(simulator="envpol")
    assert EnvOptions(env_timeout=math.inf).env_timeout == math.inf
    assert Budget(time_budget=math.inf).time_budget == math.inf
    assert as_bytes("2GiB") == 2 << 30


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"Unknown option 'trails'\. Did you mean 'trials'\?"):
        make_spec("ppo", "cartpole", trails=4)
    with pytest.raises(BadInput, match=r"Unknown option 'quantil'\. Did you mean 'quantile'\?"):
        make_spec("ppo", "cartpole", population={"quantil": 0.5})


def test_a_python_caller_reads_the_names_of_keywords(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        rltune.sweep("ppo", "cartpole", concurrent=0, env_timeout=-1, storage=tmp_path)
    assert refused.value.problems == [
        "env_timeout must be above 0 seconds, got -1",
        "concurrent must be at least 1, got 0",
    ]


def test_help_names_every_scheduler_and_where_the_searchers_are() -> None:
    assert set(re.findall(r"\w+", OPTIONS["scheduler"].help)) - {"or"} == set(schedulers.SCHEDULERS)
    named, where = OPTIONS["searcher"].help.split(", ...: ")
    assert set(named.split(", ")) < set(searchers.SEARCHERS)
    assert where.startswith("`rltune list searchers`")


@pytest.mark.parametrize(
    ("function", "missing", "more"),
    [
        (api.sweep, OF_SCHEDULERS, {"population"}),
        (api.train, {name for name, option in OPTIONS.items() if option.searches}, {"seeds"}),
        (
            api.landscape,
            OPTIONS.keys() - {*OF_LANDSCAPES},
            {"number_of_settings", "seeds"},
        ),
        (api.compare, OPTIONS.keys() - {*OF_RACES}, {"methods", "seeds"}),
    ],
)
def test_python_keywords_are_the_options(function: Any, missing: set[str], more: set[str]) -> None:
    parameters = inspect.signature(function).parameters
    assert parameters.keys() - OWN - more == OPTIONS.keys() - missing
    for name in OPTIONS.keys() - missing:
        option = OPTIONS[name]
        expected = None if option.inherited else option.default
        assert parameters[name].default == expected, name


def test_keywords_of_tune_are_the_options_of_functions() -> None:
    parameters = inspect.signature(api.tune).parameters
    wanted = {*OF_FUNCTIONS} - OF_SCHEDULERS
    assert parameters.keys() - {"function", "space", "population"} == wanted
    for name in wanted - {*DEFAULTS, "metric"}:
        option = OPTIONS[name]
        expected = None if option.inherited else option.default
        assert parameters[name].default == expected, name
    assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS


def test_the_documentation_of_python_keywords_says_what_help_says() -> None:
    text = inspect.getdoc(api.sweep) or ""
    arguments = re.split(r"\n\n", text.split("Args:\n")[1])[0]
    entries = dict(re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w|\Z)", arguments + "\n", re.M | re.S))
    assert entries.keys() == inspect.signature(api.sweep).parameters.keys()
    for name in OPTIONS.keys() - OF_SCHEDULERS:
        assert _plain(entries[name]).startswith(_plain(OPTIONS[name].help)), name
    assert all(f"``{name}``" in entries["population"] for name in OF_SCHEDULERS)


def _plain(text: str) -> str:
    """Words alone, in lower case; a table's spelling differs between TOML and Python."""
    return " ".join(re.findall(r"\w+", re.sub(r"[`\"{].*?[`\"}]+", _without_marks, text).lower()))


def _without_marks(match: re.Match[str]) -> str:
    return re.sub(r"\W", " ", match[0])
