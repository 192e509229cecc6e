"""A space in any form a user gives it: tables, TOML files, Ray Tune's objects."""

from __future__ import annotations

import json
import random
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tune_domains

from rltune.errors import BadInput
from rltune.space import Searched, Space, config_of, nested, parse_parameter, read_space, space_of

LR = {"log": [1e-5, 1e-2]}


def test_a_nested_space_is_flat_inside_and_nested_for_the_function() -> None:
    searched = space_of(
        {
            "lr": LR,
            "model": {
                "hidden": {"int": [8, 64]},
                "layers": 2,
                "head": {"bias": {"choice": [0, 1]}},
            },
            "optimizer": {"name": "adam", "betas": (0.9, 0.999)},
            "extra": {},
            "step": {"step": 5, "default": None},
        }
    )
    assert list(searched.space) == ["lr", "model/hidden", "model/head/bias"]
    assert searched.space["model/hidden"] == parse_parameter("x", {"int": [8, 64]})
    assert dict(searched.settings) == {
        "model/layers": 2,
        "optimizer/name": "adam",
        "optimizer/betas": [0.9, 0.999],
        "extra": {},
        "step/step": 5,
        "step/default": None,
    }
    assert nested(searched.middle()) == {
        "lr": pytest.approx(10**-3.5),
        "model": {"hidden": 36, "layers": 2, "head": {"bias": 1}},
        "optimizer": {"name": "adam", "betas": [0.9, 0.999]},
        "extra": {},
        "step": {"step": 5, "default": None},
    }


def test_constraints_are_kept_in_any_form() -> None:
    searched = space_of({"a": {"int": [1, 9]}, "m": {"b": 3}, "constraints": ["a <= m/b"]})
    rng = np.random.default_rng(0)
    drawn = {searched.space.sample(rng, searched.settings)["a"] for _ in range(50)}
    assert drawn == {1, 2, 3}


def test_numbers_of_numpy_become_python_s() -> None:
    searched = space_of({"n": {"int": [np.int64(1), np.int32(3)]}, "x": np.float32(0.5)})
    assert json.dumps(searched.space.to_dict()) == '{"n": {"int": [1, 3]}}'
    assert type(searched.settings["x"]) is float


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"model/hidden": LR}, "model/hidden: '/' separates nested settings: write it as a table"),
        ({"m": {"a/b": 1}}, "m/a/b: '/' separates nested settings"),
        ({"m": {3: 1}}, "m: the name of a setting must be a text, got 3"),
        ({"": 1}, "the name of a setting must be a text, got ''"),
        ({"m": {"int": [1, 8], "lr": LR}}, "m: 'int' makes it a parameter, and 'lr' is no part of"),
        ({"m": {"lr": {"log": [1e-2, 1e-5]}}}, "m/lr: log = .* is reversed"),
        ({"lr": {"lgo": [1, 2]}}, "lr: expected exactly one kind .* Did you mean 'log'?"),
        ({"lr": {"unifrom": [1, 2], "step": 1}}, "Did you mean 'uniform'?"),
        ({"lr": {"between": [1, 2], "default": 1}}, "lr: expected exactly one kind"),
        ({"lr": {"log": 3}}, "lr: log needs two numbers"),
        ({"lr": {"log": [1, 2], "int": [1, 2]}}, "lr: expected exactly one kind"),
        ({"layers": [{"int": [1, 2]}, 3]}, "layers: what is searched cannot be inside a list"),
        ({"x": {"choice": [[{"int": [1, 2]}], 3]}}, "x: what is searched cannot be inside a list"),
        (
            {"net": {"class": Path}},
            "net/class: <class 'pathlib.Path'> cannot be kept",
        ),
        ({"net": {"choice": [int, float]}}, "net: <class 'int'> cannot be kept in a run folder"),
        ({"x": np.zeros(3)}, "x: array.* cannot be kept"),
        ({"x": [float("nan")]}, "x: nan is no value"),
        ({"x": [{2: 3}]}, "x: the keys of a table must be texts, got 2"),
        ({"lr": LR, "constraints": ["lr <= hidden"]}, "unknown setting 'hidden'"),
        ({"lr": LR, "constraints": "lr <= 1"}, "constraints: must be a list of texts"),
        (3, "expected a table or a TOML file, got 3"),
    ],
)
def test_what_is_no_space_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        space_of(value)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        space_of({"a": {"log": [0, 1]}, "m": {"b": {"int": [2, 1]}, "c": open}})
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["a", "m/b", "m/c"]


def test_a_table_of_lists_is_one_of_settings() -> None:
    searched = space_of({"net": {"sizes": [64, 64]}, "b": {"log": True, "level": 3}})
    assert dict(searched.settings) == {"net/sizes": [64, 64], "b/log": True, "b/level": 3}
    assert not searched.space


def test_a_space_that_is_one_already_is_kept() -> None:
    space = Space({"lr": parse_parameter("lr", LR)})
    assert space_of(space) == Searched(space)
    assert space_of(space_of(space)) == Searched(space)


def test_settings_given_beside_a_space_join_it() -> None:
    searched = space_of({"lr": LR, "model": {"hidden": 8}})
    joined = searched.with_settings({"model": {"layers": 2}, "seeded": True})
    assert joined.settings == {"model/hidden": 8, "model/layers": 2, "seeded": True}
    for settings, message in (
        ({"lr": 1}, "lr is in settings and in space"),
        ({"model": {"hidden": 3}}, "model/hidden is in settings and in space"),
        ({"model": 3}, "model: it is a setting, and the table of model/hidden"),
        ({"lr": {"decay": 3}}, "lr: it is a setting, and the table of lr/decay"),
        ({"x": LR}, "x: settings are fixed"),
    ):
        with pytest.raises(BadInput, match=message):
            searched.with_settings(settings)


def test_a_later_space_overrides_an_earlier_one() -> None:
    first = space_of(
        {
            "lr": LR,
            "m": {"a": 1, "b": {"eval": "spec.config.lr"}, "c": {"eval": "1"}},
            "constraints": ["lr <= m/a"],
        }
    )
    later = space_of({"m": {"a": {"int": [1, 2]}, "b": 3}, "lr": {"eval": "2"}})
    merged = first.overridden_by(later)
    assert list(merged.space) == ["m/a"]
    assert merged.space.constraints == first.space.constraints
    assert merged.settings == {"m/b": 3}
    assert merged.derived == {"m/c": "lambda spec: 1", "lr": "lambda spec: 2"}
    assert first.overridden_by(first) == first
    with pytest.raises(BadInput, match="constraint 'lr <= m/a': lr is neither fixed nor searched"):
        merged.check()
    with pytest.raises(BadInput, match="m: it is a setting, and the table of m/a"):
        first.overridden_by(space_of({"m": 3}))


# --- TOML files -------------------------------------------------------------------------------


def _written(folder: Path, text: str) -> Path:
    path = folder / "space.toml"
    path.write_text(textwrap.dedent(text))
    return path


SPACE = """\
lr = { log = [1e-5, 1e-2], default = 1e-3 }
batch = 64
constraints = ["model/hidden <= batch"]

[model]
hidden = { log_int = [8, 512], step = 8 }
activation = "relu"

[model.head]
bias = { choice = [true, false] }
"""


def test_a_toml_file_is_read(tmp_path: Path) -> None:
    path = _written(tmp_path, SPACE)
    searched = read_space(path)
    assert space_of(str(path)) == space_of(path) == searched
    assert dict(searched.settings) == {"batch": 64, "model/activation": "relu"}
    assert {name: p.kind for name, p in searched.space.items()} == {
        "lr": "log",
        "model/hidden": "log_int",
        "model/head/bias": "choice",
    }
    rng = np.random.default_rng(0)
    drawn = [searched.space.sample(rng, searched.settings) for _ in range(50)]
    assert {values["model/hidden"] for values in drawn} <= {8, 16, 24, 32, 40, 48, 56, 64}


def test_every_problem_of_a_toml_file_has_its_line(tmp_path: Path) -> None:
    path = _written(
        tmp_path,
        """\
        lr = { log = [1e-2, 1e-5] }
        constraints = ["lr <= hiden", "a ~ b"]
        inline = { deep = { int = [3, 1] } }
        when = 2026-11-27
        [model]
        hidden = { integer = [1, 2], default = 3 }
        dotted.part = { uniform = [0, 1], step = 0 }
        mixed = { log = [1, 2], other = 3 }
        [model.head]
        bias = { choice = [] }
        "a/b" = 3
        """,
    )
    with pytest.raises(BadInput) as caught:
        read_space(path)
    lines = {
        int(problem.removeprefix(f"{path}:").partition(":")[0]): problem
        for problem in caught.value.problems
    }
    for line, words in {
        1: "lr: log = [0.01, 1e-05] is reversed",
        2: "A <= B",
        3: "inline/deep: int = [3, 1] is reversed",
        4: "when: datetime.date(2026, 11, 27) cannot be kept",
        6: "model/hidden: expected exactly one kind",
        7: "model/dotted/part: step = 0 must be a number above 0",
        8: "model/mixed: 'log' makes it a parameter",
        10: "model/head/bias: a choice needs a list",
        11: "model/head/a/b: '/' separates nested settings",
    }.items():
        assert words in lines[line]
    assert "unknown setting 'hiden'" in str(caught.value)


def test_a_toml_file_may_derive_settings(tmp_path: Path) -> None:
    path = _written(tmp_path, SPACE + 'twice = { eval = "2 * spec.config.model.hidden" }\n')
    searched = read_space(path)
    searched.check()
    assert config_of({"model/hidden": 8}, searched.derived)["model"]["head"] == {"twice": 16}
    path.write_text(SPACE + 'loaded = { eval = "open(spec.config.lr)" }\n')
    with pytest.raises(BadInput, match=r"space\.toml:11: model/head/loaded: .*calls what is not"):
        read_space(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = 3", "it has no parameter, like lr ="),
        ("lr = ", "not TOML"),
        ("lr = { log = [1, 2] }\nlr = 3", "not TOML"),
        ("constraints = 3\nlr = { log = [1, 2] }", "constraints: must be a list"),
    ],
)
def test_a_file_that_is_no_space_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=rf"space\.toml.*{message}"):
        read_space(_written(tmp_path, text))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(BadInput, match=r"nowhere\.toml: No such file"):
        space_of("nowhere.toml")


# --- derived settings -------------------------------------------------------------------------

SETTINGS = {"lr": 0.5, "model/hidden": 8}


def _derived(**functions: Any) -> dict[str, Any]:
    places = {name: f"tune_domains:{function.__name__}" for name, function in functions.items()}
    return config_of(SETTINGS, {name.replace("__", "/"): at for name, at in places.items()}, 3)


def test_derived_settings_are_computed_from_the_others_in_any_order() -> None:
    config = _derived(
        more=tune_domains.of_double,
        doubled=tune_domains.double,
        net__product=tune_domains.of_spec,
        text=tune_domains.of_nothing,
    )
    assert config == {
        "lr": 0.5,
        "model": {"hidden": 8},
        "doubled": 16,
        "more": 17,
        "net": {"product": 4.0},
        "text": "fixed",
    }
    assert type(config["model"]) is dict


def test_a_derived_setting_that_draws_repeats_its_draws() -> None:
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first, second = (_derived(a=tune_domains.drawn, b=tune_domains.drawn) for _ in range(2))
    assert first == second
    assert first["a"] != first["b"]
    places = {"a": "tune_domains:drawn"}
    assert config_of(SETTINGS, places, 4)["a"] != first["a"]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (
            {"circle": tune_domains.circle, "circle_too": tune_domains.circle_too},
            "circle, circle_too: these derived settings depend on each other",
        ),
        (
            {"a": tune_domains.missing},
            "a: tune_domains:missing cannot .* KeyError: 'learning_rate'",
        ),
        ({"a": tune_domains.opened}, "a: tune_domains:opened cannot .* cannot be kept"),
    ],
)
def test_a_derived_setting_that_cannot_be_computed_is_named(
    functions: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        _derived(**functions)
