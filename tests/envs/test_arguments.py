"""Environment arguments keep their types through a file; what cannot be kept is refused (70)."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import OrderedDict, deque
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import shapes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rltune.envs.arguments import canonical, decode, encode, imported, packed

from rltune import envs
from rltune.cli.parse import pairs
from rltune.errors import BadInput
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.json_text import dumps, loads


def there_and_back(value: Any) -> Any:
    """What an argument becomes by run.json, and by a worker's config."""
    encoded = encode({"x": value})
    assert encode(encoded) == encoded
    (kept,) = decode(packed(loads(dumps({"env_args": encoded}))["env_args"])).values()
    return kept


def same(a: Any, b: Any) -> bool:
    """Equal, of one type, and so all the way down; not a number is itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float | np.floating) and math.isnan(a):
        return math.isnan(b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            same(*keys) and same(a[keys[0]], b[keys[1]]) for keys in zip(a, b, strict=True)
        )
    if isinstance(a, list | tuple | deque):
        return len(a) == len(b) and all(same(*items) for items in zip(a, b, strict=True))
    if dataclasses.is_dataclass(a):
        return same(vars(a), vars(b))
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    return bool(a == b)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(["inf", "-inf", "\\inf", "nan", "1e5", "true", "$x", "\ud800"]),
    st.binary(),
    st.complex_numbers(),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.from_regex(r"[a-z./]{1,9}", fullmatch=True).map(Path),
    st.sampled_from([*shapes.Colour, *shapes.Level, shapes.Access.READ | shapes.Access.WRITE]),
    st.sampled_from([shapes.distance, shapes.Plain, shapes.Maze.step, math.sin, len, int, np.sin]),
    arrays.from_dtype(np.dtype("f4")),
    arrays.scalar_dtypes().flatmap(arrays.from_dtype),
    st.integers(-3, 3).map(range),
)
several = arrays.arrays(
    arrays.scalar_dtypes() | arrays.array_dtypes(), arrays.array_shapes(min_dims=0, min_side=0)
)
values = st.recursive(
    scalars | several,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text() | st.sampled_from(["inf", "value"]), inner, max_size=3),
        st.dictionaries(st.integers() | st.tuples(st.integers()), inner, max_size=3),
        st.lists(inner, max_size=3).map(deque),
        st.builds(shapes.Point, inner, inner),
        st.builds(shapes.Motor, st.tuples(inner, inner), gears=st.lists(inner, max_size=2)),
        st.sets(st.integers() | st.text(), max_size=3),
        st.frozensets(st.tuples(st.integers(), st.text()), max_size=3),
    ),
    max_leaves=6,
)


@pytest.mark.fault(70)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(values)
def test_any_value_is_restored_equal_and_of_its_type(value: Any) -> None:
    assert same(there_and_back(value), value)


@pytest.mark.fault(70)
@pytest.mark.parametrize(
    "value",
    [
        (3, (4, [5])),
        {1: "a", (2, 3): {"b": 4}},
        "inf",
        math.inf,
        -0.0,
        {"limit": "inf", "bound": -math.inf},
        OrderedDict(b=1, a=2),
        deque([1, 2], maxlen=2),
        Path("maps/a.txt"),
        np.float32(0.1),
        np.array([[1, 2]], dtype=">i2"),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.datetime64("2026-11-27"),
        date(2026, 11, 27),
        datetime(2026, 11, 27, tzinfo=timezone(timedelta(hours=2))),
        Decimal("1.10"),
        Fraction(1, 3),
        UUID(int=7),
        shapes.Colour.BLUE,
        shapes.Motor((1.0, 2.0), shapes.Point(0.5, 1.0)),
        shapes.Doubled(3),
        bytearray(b"\x00\xff"),
        2**80,
    ],
    ids=repr,
)
def test_common_argument_values_are_restored(value: Any) -> None:
    assert same(there_and_back(value), value)


@pytest.mark.fault(70)
def test_a_partial_is_rebuilt() -> None:
    made = there_and_back(partial(shapes.distance, 2.0))
    assert (made.func, made.args, made(5.0)) == (shapes.distance, (2.0,), 3.0)


class Local:
    """Of a type that nothing knows how to keep."""


def _cyclic() -> list[Any]:
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    return cyclic


def _inner() -> Any:
    def inner() -> None: ...

    return inner


@pytest.mark.fault(70)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"reward": {"x": lambda: 0}}, 'env_args["reward"]["x"]: a lambda cannot be kept'),
        ({"f": [1, _inner()]}, 'env_args["f"][1]: inner is defined within a function'),
        ({"o": Local()}, 'env_args["o"]: a value of type Local cannot be kept'),
        ({"m": Local().__init__}, 'env_args["m"]: '),
        ({"a": np.array([Local()])}, 'env_args["a"]: an array of objects'),
        ({"c": _cyclic()}, "nested too deeply, or contains itself"),
        ({"z": datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Rome"))}, "the time zone Europe/Rome"),
        ({"d": shapes.Asking(1, 2)}, 'env_args["d"]: '),
        ({"t": {"$rltune": "tuples", "value": []}}, "'$rltune' is a key of rltune's own"),
        ({3: 4}, "env_args: 3 is no name of an argument"),
    ],
)
def test_values_that_cannot_be_saved_are_refused_with_their_key(value: Any, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        encode(value)
    assert message in str(refused.value)


@pytest.mark.fault(70)
def test_every_problem_is_reported_and_nothing_starts(tmp_path: Path) -> None:
    bad = {"f": lambda: 0, "length": 3, "o": Local()}
    with pytest.raises(BadInput) as refused:
        make_spec("ppo", "shapes:Loose", env_args=bad, storage=tmp_path / "runs")
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        'env_args["f"]',
        'env_args["o"]',
    ]
    assert not (tmp_path / "runs").exists()


@pytest.mark.fault(70)
def test_a_run_saves_its_arguments(tmp_path: Path) -> None:
    asked = {"size": (3, 4), "names": {1: "one"}, "limit": "inf", "at": shapes.Point(1.0, 2.0)}
    spec = make_spec("ppo", "shapes:Loose", env_args=asked, storage=tmp_path, name="a")
    RunFolder.create(spec).lock.release()
    kept = RunFolder.open(tmp_path / "a").spec
    assert kept.env_options.env_args == spec.env_options.env_args
    env = envs.make(kept.env_id, kept.env_options.env_args)
    assert same(env.unwrapped.kwargs, asked)  # type: ignore[attr-defined]
    json.loads((tmp_path / "a" / "run.json").read_text())


@pytest.mark.fault(70)
def test_run_folders_of_earlier_versions_are_read_as_before(tmp_path: Path) -> None:
    spec = make_spec("ppo", "cartpole", storage=tmp_path, name="a")
    RunFolder.create(spec).lock.release()
    path = tmp_path / "a" / "run.json"
    before = json.loads(path.read_text())
    before["env_args"] = {"start": 0.5, "names": ["a", "b"], "api_key": "$RLTUNE_SECRET_API_KEY"}
    before["settings"]["grad_clip"] = "inf"
    path.write_text(json.dumps(before))
    kept = RunFolder.open(tmp_path / "a").spec
    assert kept.env_options.env_args == before["env_args"]
    assert kept.settings["grad_clip"] == math.inf


def test_equal_arguments_are_written_alike() -> None:
    one = encode({"a": {3, 1, 2}, "b": {"y": 1, "x": (2,)}})
    other = encode({"b": {"x": (2,), "y": 1}, "a": {2, 3, 1}})
    assert canonical(one) == canonical(other)


def test_imports_of_arguments_are_listed_without_importing_them() -> None:
    given = {"f": shapes.distance, "m": [shapes.Motor((1.0, 2.0))], "n": {"class": "os:system"}}
    assert imported(encode(given)) == ["shapes:distance", "shapes:Motor", "shapes:Point"]


def test_the_command_line_takes_the_same_form() -> None:
    words = ["size={'$rltune'='tuple', value=[3, 4]}", 'limit="inf"', "bound=-inf"]
    given = pairs("--env-arg", words, "")
    assert decode(encode(given)) == {"size": (3, 4), "limit": "inf", "bound": -math.inf}
