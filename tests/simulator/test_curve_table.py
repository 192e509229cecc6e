"""Tables of measured curves."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

import rltune
from rltune.errors import BadInput
from rltune.simulator import Table
from rltune.space import Space, parse_parameter

CSV = """\
lr,act,seed,env_steps,score,seconds
1e-4,relu,0,100,1.0,2.0
1e-4,relu,0,200,2.0,4.0
1e-4,relu,1,100,11.0,2.0
1e-4,relu,1,200,12.0,4.0
1e-2,relu,0,100,5.0,1.0
1e-2,relu,0,200,nan,2.0
1e-2,tanh,0,200,9.0,3.0
1e-2,tanh,0,100,8.0,1.5
"""


def _space(**bodies: Any) -> Space:
    return Space({name: parse_parameter(name, body) for name, body in bodies.items()})


SPACE = _space(lr={"log": [1e-4, 1e-2]}, act={"choice": ["relu", "tanh"]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "curves.csv").write_text(CSV)
    return tmp_path / "curves.csv"


def test_curves_are_looked_up_and_interpolated(file: Path) -> None:
    table = Table.from_csv(file, SPACE)
    assert len(table) == 3
    exact = {"lr": 1e-2, "act": "tanh", "seed": 4}
    assert [table(exact, age) for age in (1, 100, 150, 200, 900)] == [8.0, 8.0, 8.5, 9.0, 9.0]
    assert table({"lr": 3e-4, "act": "relu", "seed": 0}, 100) == 1.0, "nearer on the log scale"
    assert table({"lr": 1e-4, "act": "tanh", "seed": 0}, 100) in (1.0, 8.0)
    assert table({"lr": 3e-3, "act": "tanh", "seed": 0}, 100) == 8.0


def test_a_trials_seed_chooses_between_training_runs(file: Path) -> None:
    table = Table.from_csv(file, SPACE)
    found = {table({"lr": 1e-4, "act": "relu", "seed": seed}, 200) for seed in range(4)}
    assert found == {2.0, 12.0}


def test_a_compressed_file_and_other_names(file: Path, tmp_path: Path) -> None:
    text = CSV.replace("score", "reward")
    (tmp_path / "curves.csv.gz").write_bytes(gzip.compress(text.encode()))
    table = Table.from_csv(tmp_path / "curves.csv.gz", SPACE, score="reward")
    assert table({"lr": 1e-2, "act": "tanh", "seed": 0}, 200) == 9.0


def test_an_exact_table_refuses_other_settings(file: Path) -> None:
    table = Table.from_csv(file, SPACE, lookup="exact")
    assert table({"lr": 0.01, "act": "tanh", "seed": 0}, 200) == 9.0
    with pytest.raises(BadInput, match=r"no rows of the settings .*0\.002"):
        table({"lr": 0.002, "act": "tanh", "seed": 0}, 200)


def test_what_a_file_lacks_is_named(file: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="row 1 has no gamma"):
        Table.from_csv(file, _space(gamma={"uniform": [0.9, 1.0]}))
    with pytest.raises(BadInput, match="row 1 has no reward"):
        Table.from_csv(file, SPACE, score="reward")
    with pytest.raises(BadInput, match=r"nothing\.csv"):
        Table.from_csv(tmp_path / "nothing.csv", SPACE)
    file.write_text(CSV.splitlines()[0])
    with pytest.raises(BadInput, match="there are no rows"):
        Table.from_csv(file, SPACE)
    file.write_text(CSV.replace(",relu,", ",gelu,"))
    with pytest.raises(BadInput, match="row 1: act 'gelu' is none of"):
        Table.from_csv(file, SPACE)
    file.write_text(CSV.replace("11.0", "much"))
    with pytest.raises(BadInput, match="row 3: score 'much' is no number"):
        Table.from_csv(file, SPACE)
    timeless = Table([{"lr": 1e-3, "env_steps": 1, "score": 1.0}], SPACE.only({"lr"}))
    with pytest.raises(BadInput, match="no column seconds"):
        timeless.seconds_per_step({"lr": 1e-3})


def test_a_sweep_runs_on_a_table(file: Path) -> None:
    """The grid meets every training run; its time is the table's; what is NaN there diverges."""
    table = Table.from_csv(file, SPACE)
    found = rltune.simulate(
        table,
        SPACE,
        scheduler="fifo",
        trials=4,
        steps=200,
        report_every=100,
        concurrent=1,
        seconds_per_step=table.seconds_per_step,
        points=[{"lr": lr, "act": act} for lr in (1e-4, 1e-2) for act in ("relu", "tanh")],
    )
    of = {(trial.start["lr"], trial.start["act"]): trial for trial in found.trials}
    assert of[1e-2, "relu"].status == "failed"
    assert [r.metrics["score"] for r in of[1e-2, "tanh"].reports] == [8.0, 9.0]
    assert found.best is not None
    assert found.best.score in (9.0, 12.0)
    assert found.seconds in (4.0 + 2.0 + 3.0 + 4.0, 4.0 + 2.0 + 3.0 + 3.0)


def test_a_table_ships_with_a_preset() -> None:
    table = Table.shipped("ppo", "cartpole")
    assert len(table) == 64
    lrs = (4e-4, 1e-3, 2e-3, 4e-3, 6e-3)
    scores = [
        table({"lr": lr, "gamma": 0.98, "clip_param": 0.2, "seed": seed}, 50_000)
        for lr in lrs
        for seed in range(4)
    ]
    assert min(scores) < 400 < 490 < max(scores)
    found = rltune.simulate(table, table.space, scheduler="asha", trials=16, steps=50_000, seed=1)
    assert found.best is not None
    assert found.best.score > 450
    with pytest.raises(
        BadInput, match=r"none ships for sac on pendulum, but for dqn on acrobot, dqn on "
    ):
        Table.shipped("sac", "pendulum")


def test_the_table_of_dqn_knows_good_settings_from_bad_ones() -> None:
    table = Table.shipped("dqn", "cartpole")
    assert len(table) == 64
    good, bad = (
        [
            table({"lr": lr, "gamma": gamma, "target_network_update_freq": freq, "seed": s}, 50_000)
            for s in range(3)
        ]
        for lr, gamma, freq in ((8.7e-4, 0.9927, 192), (3e-4, 0.97, 900))
    )
    assert sorted(good)[1] > 475 > 400 > max(bad)


def test_the_table_of_acrobot_has_curves_that_rise_to_what_their_settings_allow() -> None:
    table = Table.shipped("ppo", "acrobot")
    assert len(table) == 64
    good, bad = (
        {"lr": lr, "gamma": gamma, "lambda_": 0.965, "clip_param": 0.2, "entropy_coeff": bonus}
        for lr, gamma, bonus in ((9e-4, 0.987, 0.005), (2.8e-3, 0.98, 0.045))
    )
    early, late, other = (
        sorted(table({**settings, "seed": seed}, steps) for seed in range(3))
        for settings, steps in ((good, 10_000), (good, 100_000), (bad, 100_000))
    )
    assert early[2] < -250
    assert other[1] < -95 < -90 < late[1]


def test_the_table_of_dqn_on_acrobot_rises_to_its_threshold() -> None:
    table = Table.shipped("dqn", "acrobot")
    assert len(table) == 32
    good = {"lr": 3.02e-4, "gamma": 0.9885, "target_network_update_freq": 200}
    early, late = (
        [table({**good, "seed": seed}, steps) for seed in range(3)] for steps in (4_000, 60_000)
    )
    assert max(early) < -200 < -100 < min(late)
