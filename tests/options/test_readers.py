"""What a user may write for an option."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rltune.cli.parse import values
from rltune.errors import BadInput
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
