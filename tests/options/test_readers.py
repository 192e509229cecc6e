"""What a user may write for an option."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rltune.cli.parse import values
from rltune.errors import BadInput
from rltune.options import readers
from rltune.request.resolve import make_spec

POINTS = [{"lr": 5e-4}, {"gamma": 0.99}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("points.toml", "points = [{ lr = 5e-4 }, { gamma = 0.99 }]"),
        ("points.toml", "[[points]]\nlr = 5e-4\n[[points]]\ngamma = 0.99"),
        ("points.json", json.dumps(POINTS)),
    ],
)
def test_points_may_stand_in_a_file(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    words = values({"points": ["{clip_param=0.15}", str(file)]})
    spec = make_spec("ppo", "cartpole", trials=4, **words)
    assert list(spec.points) == [{"clip_param": 0.15}, *POINTS]
    assert make_spec("ppo", "cartpole", trials=4, points=file).points == tuple(POINTS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "No such file"),
        ("points = [1, 2]", "must hold a list of tables"),
        ("lr = 5e-4", "must hold a list of tables"),
        ("points = [{ lr = ", "points.toml'"),
        ("points = [{ lrr = 5e-4 }]", "lrr"),
        ("points = [{ lr = 50.0 }]", "50.0"),
    ],
)
def test_a_wrong_file_of_points_is_refused(tmp_path: Path, text: str | None, problem: str) -> None:
    file = tmp_path / "points.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadInput, match=problem):
        make_spec("ppo", "cartpole", points=[file])


def test_a_point_that_is_no_table_is_refused() -> None:
    with pytest.raises(BadInput, match="write it as --point "):
        values({"points": ["{lr=1e-3"]})
    with pytest.raises(BadInput, match="got 3"):
        make_spec("ppo", "cartpole", points=[3])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1000", 1_000),
        ("1_000", 1_000),
        ("80,000", 80_000),
        ("1e5", 100_000),
        ("1.5e3", 1_500),
        ("100k", 100_000),
        ("1M", 1_000_000),
        ("0.5M", 500_000),
        ("2B", 2_000_000_000),
        ("5.0", 5),
        ("-5", -5),
        ("0", 0),
    ],
)
def test_whole_numbers_are_read_as_people_write_them(text: str, value: int) -> None:
    assert readers.as_whole(text) == value


WRONG = "ten 1.5 0.0001k 1,00 1e 1e19 1e9999999 k _ 1.2.3 inf nan 5%".split()


@pytest.mark.parametrize("text", ["", *WRONG])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        readers.as_whole(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("10 min", 600), ("1.5h", 5_400), ("1d", 86_400)],
)
def test_times_are_read_with_their_unit(text: str, seconds: float) -> None:
    assert readers.as_seconds(text) == seconds
    assert readers.as_seconds("inf") == float("inf")
    with pytest.raises(ValueError, match="like 90s, 10m or 2h"):
        readers.as_seconds(f"{text} long")
