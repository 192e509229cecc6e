"""Requests for a function: odd ones are answered before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rltune.errors import BadInput
from rltune.request.functions import function_spec

MODULE = """\
import functools, rltune

def train(config, more=1):
    rltune.report({"height": config["lr"]})

def no_arguments():
    pass

def two(config, data):
    pass

async def waits(config):
    pass

def yields(config):
    yield {"height": 1.0}

class Called:
    def __call__(self, config):
        train(config)

class CalledToYield:
    def __call__(self, config):
        yield {"height": 1.0}

given = Called()
given_a_generator = CalledToYield()
part = functools.partial(train, more=2)
part_of_a_generator = functools.partial(yields)
short = lambda config: train(config)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as strangers write them."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd_functions.py").write_text(MODULE)
    (folder / "unclosed.py").write_text("def train(config:\n")
    (folder / "ends.py").write_text("raise SystemExit(0)\n")
    (folder / "prints.py").write_text(f"print('hello')\n{MODULE}")
    return folder


def _spec(function: Any, **options: Any) -> Any:
    space = options.pop("space", {"lr": {"log": [1e-5, 1e-2]}})
    return function_spec(function, space, **{"metric": "height", **options})


@pytest.mark.parametrize(
    ("function", "match"),
    [
        ("odd_functions.py:no_arguments", r"called as no_arguments\(config\), with a dict: too"),
        ("odd_functions.py:two", r"called as two\(config\), with a dict: missing .* 'data'"),
        ("odd_functions.py:waits", "is asynchronous"),
        ("odd_functions.py:yields", r"is a generator: call rltune.report\(metrics\)"),
        ("odd_functions.py:given_a_generator", "is a generator"),
        ("odd_functions.py:part_of_a_generator", "is a generator"),
        ("odd_functions.py:Called", "is no ray.tune.Trainable: it has no setup and step"),
        ("odd_functions.py:nowhere", r"odd_functions.py has no 'nowhere'\."),
        ("unclosed.py:train", r"cannot be imported: SyntaxError: .*unclosed.py:1\)"),
        (
            "ends.py:train",
            r"cannot be imported: it ends the process: sys.exit\(0\) \(.*ends.py:1\)",
        ),
        ("missing.py:train", "there is no file"),
    ],
)
def test_what_no_trial_could_call_is_refused(folder: Path, function: str, match: str) -> None:
    with pytest.raises(BadInput, match=match):
        _spec(f"{folder}/{function}")


@pytest.mark.parametrize("name", ["train", "given", "part", "short"])
def test_whatever_can_be_called_with_a_dict_and_imported_is_taken(folder: Path, name: str) -> None:
    assert _spec(f"{folder}/prints.py:{name}").env == name


@pytest.mark.parametrize(
    ("space", "match"),
    [
        ({"act": {"choice": []}}, "act: a choice needs a list of at least one option"),
        ({"seed": {"log": [1e-4, 1e-1]}}, "space seed: the name is taken"),
        ({"exploit": {"a": {"log": [1e-4, 1e-1]}}}, "space exploit/a: the name is taken"),
        ({"lr": {"uniform": [0.0, float("nan")]}}, "lr: nan is no value of a setting"),
    ],
)
def test_a_space_that_no_trial_could_have_is_refused(
    folder: Path, space: dict[str, Any], match: str
) -> None:
    with pytest.raises(BadInput, match=match):
        _spec(f"{folder}/odd_functions.py:train", space=space)


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.toml", "", r"must hold a list of tables: points = \[\{ lr = 1e-3 \}\]"),
        ("a.toml", "points = []", "must hold a list of tables"),
        ("a.json", "[]", r"must hold a list of tables: \[\{\.\.\.\}"),
        ("a.toml", '[{"lr": 1e-3}]', "is no TOML"),
        ("a.toml", '{"lr": 1e-3}', r"is no TOML \(JSON is read from a file that ends in .json\)"),
        ("a.json", "points = [{ lr = 1e-3 }]", "is no JSON"),
        ("a.toml", "[[points]]\nlrr = 1e-3", "point 1: 'lrr' is not searched. Did you mean 'lr'"),
        ("a.toml", "[[points]]\nlr = 5.0", r"point 1: lr = 5.0 lies outside log = \[1e-05"),
        ("a.toml", "[[points]]\nlr = 1e-3\n" * 3, "points: 3 are given, .* 2 trials: `trials=3`"),
    ],
)
def test_points_that_no_trial_would_start_from_are_refused(
    folder: Path, tmp_path: Path, name: str, text: str, match: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=match):
        _spec(f"{folder}/odd_functions.py:train", points=[tmp_path / name], trials=2)


def test_a_setting_may_be_called_as_the_metric_is(folder: Path) -> None:
    space = {"height": {"log": [1e-4, 1e-1]}}
    assert list(_spec(f"{folder}/odd_functions.py:train", space=space).space) == ["height"]
