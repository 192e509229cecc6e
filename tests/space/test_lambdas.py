"""Lambdas are kept as text, and computed as Python computes them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import tune

from rltune.errors import BadInput
from rltune.space import config_of, nested, space_of
from rltune.space.expressions import compiled
from rltune.space.lambdas import text_of
from rltune.space.values import plain

SETTINGS = {"a": 3, "lr": 0.25, "name": "relu", "sizes": [4, 8], "model/hidden": 16}
CONFIG = nested(SETTINGS)
SCALE = 2.5

LAMBDAS: list[Callable[..., Any]] = [
    lambda config: config["a"],
    lambda config: config["model"]["hidden"] * 2 - 1,
    lambda c: -(c["a"] ** 2) // 5 % 3 / 4 + 1.5,
    lambda c: [c["a"], c["sizes"][-1]] if not c["lr"] else (1, 2),
    lambda c: "big" if 1 < c["a"] <= 3 and c["name"] == "relu" else "small",
    lambda c: c["a"] in (1, 2) or c["name"] != "tanh",
    lambda c: max(c["sizes"]) + round(math.log10(c["lr"]) * SCALE, 2),
    lambda c: int(np.sqrt(c["model"]["hidden"])) + len(c["name"]) + sum(c["sizes"]),
    lambda c: c.get("missing", 7) + c["model"].get("hidden"),
    lambda c: [64] * c["a"],
    lambda: 5,
    lambda c: None if c["name"] is None else str(c["a"]),
]


def _local(scale: float) -> Callable[..., Any]:
    return lambda config: scale * config["a"]


@pytest.mark.parametrize("function", [*LAMBDAS, _local(0.5)], ids=lambda f: text_of(f))
def test_a_text_gives_what_the_lambda_gives(function: Callable[..., Any]) -> None:
    given = () if function.__code__.co_argcount == 0 else (CONFIG,)
    assert compiled(text_of(function))(*given) == plain(function(*given))
    searched = space_of({"x": tune.sample_from(function), **CONFIG})
    assert config_of(SETTINGS, searched.derived)["x"] == plain(function(*given))


def test_two_lambdas_of_a_line_are_told_apart() -> None:
    first, second = (lambda c: c["a"] + 1, lambda c: c["a"] + 2)
    assert (text_of(first), text_of(second)) == ("lambda c: c['a'] + 1", "lambda c: c['a'] + 2")


def test_numbers_from_outside_stand_in_the_text() -> None:
    assert text_of(lambda c: c["a"] * SCALE) == "lambda c: c['a'] * 2.5"
    assert text_of(_local(0.5)) == "lambda config: 0.5 * config['a']"


def test_every_form_that_tune_takes_is_taken() -> None:
    searched = space_of(
        {
            "hidden": tune.sample_from(lambda spec: spec.config.model.hidden * 2),
            "width": tune.sample_from(lambda spec: 2 ** spec["config"]["a"]),
            "l1": tune.sample_from(lambda _: 2 ** np.random.randint(2, 9)),  # noqa: NPY002
            "drawn": tune.sample_from(lambda: random.choice(["a", "b"])),
            "after": tune.sample_from(lambda config: config["hidden"] + config["l1"]),
        }
    )
    config = config_of(SETTINGS, searched.derived, seed=5)
    assert (config["hidden"], config["width"]) == (32, 8)
    assert config["after"] == 32 + config["l1"]
    assert config_of(SETTINGS, searched.derived, seed=5) == config
    drawn = {config_of(SETTINGS, searched.derived, seed=seed)["l1"] for seed in range(60)}
    assert drawn == {2**power for power in range(2, 9)}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda c: eval(c["name"]), "calls what is not known"),
        (lambda c: Path(c["name"]), "this lambda uses Path, which is not in it"),
        (lambda c: [size + 1 for size in c["sizes"]], "more than arithmetic"),
        (lambda c: [*c["sizes"], 1], "more than arithmetic"),
        (lambda c: f"{c['a']}", "more than arithmetic"),
        (lambda c: c["name"].upper(), "calls what is not known"),
        (lambda c: c.__class__.__base__.__subclasses__(), "calls what is not known"),
        (lambda c, n=3: n, "more than the configuration"),
        (lambda c: np.load(c["name"]), "calls what is not known"),
        (lambda c: (lambda d: d)(c), "calls what is not known"),
        (eval("lambda config: 3"), "source of this lambda is not found"),
    ],
)
def test_a_lambda_that_does_more_is_refused_with_the_fix(
    function: Callable[..., Any], words: str
) -> None:
    with pytest.raises(BadInput, match=f"model/x: .*{words}.*top of a module"):
        space_of({"model": {"x": tune.sample_from(function)}})


def test_a_lambda_whose_file_has_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "changing.py"
    path.write_text("f = lambda c: c['b'] + 2\n")
    names: dict[str, Any] = {}
    exec(compile("f = lambda c: c['a'] + 1\n", str(path), "exec"), names)
    with pytest.raises(ValueError, match="has changed since"):
        text_of(names["f"])


@pytest.mark.parametrize(
    "text",
    [
        "lambda c: 9 ** 9 ** 9 ** 9",
        "lambda c: [0] * 10 ** 9",
        "lambda c: '%999999999d' % 1",
        "lambda c: c.__class__",
        "lambda c: c.items",
        "lambda c: c['name'].format",
        "lambda c: max",
        "lambda c: print(1)",
        "lambda c: ().__class__",
        "lambda c: str.mro",
        "lambda c: (yield)",
        "lambda c: (d := 3)",
        "lambda c: ",
        "lambda",
        "lambda c: 1 / 0",
    ],
)
def test_a_stranger_s_text_does_no_harm(text: str) -> None:
    with pytest.raises(BadInput, match=r"x: .* cannot compute it"):
        config_of(SETTINGS, {"x": text, "y": "lambda c: [c['x']]"})
