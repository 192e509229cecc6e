"""Settings all over a space, each on the same seeds: the trials, their table, what it says."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from simulated_runs import SPACE, search
from warm import run_rltune

import rltune
from rltune.errors import BadInput
from rltune.request.resolve import landscape_request
from rltune.runs.folder import RunFolder
from rltune.runs.json_text import loads
from rltune.runs.landscape import TABLE, Trained, write_table
from rltune.simulator import Table
from rltune.sweeps.jobs import job_of
from rltune.sweeps.jobs.landscape import median


def test_every_setting_starts_on_every_seed(tmp_path: Path) -> None:
    spec, asked = landscape_request("ppo", "cartpole", trials=3, seeds=2, storage=tmp_path)
    assert (spec.budget.trials, spec.budget.target) == (6, float("inf"))
    job = job_of(spec, asked)
    started = []
    for index in range(6):
        start = job.next_start(index)
        assert start is not None
        started.append({**start.config, "setting": start.setting})
        searched = {name: start.config[name] for name in spec.space}
        job.history.started(f"t{index:02d}", searched, start.config["seed"], start.setting)
        if index == 3:  # a resume
            saved, job = job.history.get_state(), job_of(spec, asked)
            job.history.set_state(saved)
    assert job.is_over(6)
    assert job.next_start(6) is None
    assert [one["setting"] for one in started] == [0, 1, 2, 0, 1, 2]
    assert started[:3] != started[3:]
    for first, second in zip(started[:3], started[3:], strict=True):
        assert {name for name in first if first[name] != second[name]} == {"seed"}
    assert len({one["lr"] for one in started}) == 3
    assert len({one["seed"] for one in started}) == 2


def test_a_landscape_needs_a_space(tmp_path: Path) -> None:
    settings = {"lr": 1e-3, "gamma": 0.99, "clip_param": 0.2}
    with pytest.raises(BadInput, match="there are none"):
        landscape_request("ppo", "cartpole", trials=3, seeds=2, settings=settings)


def test_the_simulator_reads_the_table(tmp_path: Path) -> None:
    folder = search(tmp_path, scheduler="fifo", trials=4)
    spec = folder.spec
    trials = [
        Trained(name, folder.reports(name)[0].settings, seed % 2)
        for seed, name in enumerate(folder.trials())
    ]
    write_table(folder, trials)
    table = Table.from_run(folder.path)
    assert len(table) == 4
    for one in trials:
        for row in folder.reports(one.trial):
            score = table({**one.settings, "seed": 0}, row.env_steps)
            assert score == pytest.approx(row.measured[spec.metric], rel=1e-4)
    last = folder.reports(trials[0].trial)[-1]
    speed = table.seconds_per_step(trials[0].settings)
    assert speed == pytest.approx(last.train_seconds / last.env_steps, rel=1e-3)
    again = rltune.simulate(table, SPACE, scheduler="asha", trials=8, steps=9_000, seed=0)
    assert again.best is not None
    packed = (folder.path / TABLE).read_bytes()
    write_table(folder, trials)
    assert (folder.path / TABLE).read_bytes() == packed


def test_a_seed_without_a_score_is_the_worst(tmp_path: Path) -> None:
    spec, asked = landscape_request("ppo", "cartpole", trials=1, seeds=3, storage=tmp_path)
    history = job_of(spec, asked).history
    for number in range(3):
        history.started(f"t0{number}", {"lr": 1e-3}, number, 0)
        history.reported(f"t0{number}", 100, 10.0 * number)
    assert median(history.trials) == 10.0
    history.ended("t02", failed=True)
    assert median(history.trials) == 0.0


@pytest.mark.slow
def test_a_landscape_from_the_command_to_its_table(folder: Path, cluster_address: str) -> None:
    words = (
        "landscape ppo cartpole --settings 4 --seeds 2 --steps 4000 --batch 4 --episodes 5 "
        "--selection-episodes 5 --name map --json"
    )
    done = run_rltune(folder, *words.split(), cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    assert "of the 4 settings are within 5 % of it" in done.stderr
    run = RunFolder.open(folder / "runs/map")
    summary = run.summary_contents
    assert summary == loads(done.stdout.splitlines()[-1])
    found = summary["landscape"]
    assert (found["settings"], found["seeds"], found["table"]) == (4, 2, TABLE)
    with gzip.open(run.path / TABLE, "rt") as file:
        rows = list(csv.DictReader(file))
    assert {(row["lr"], row["seed"]) for row in rows} == {
        (repr(one["config"]["lr"]), seed) for one in summary["settings"] for seed in "01"
    }
    assert len({row["lr"] for row in rows}) == 4
    last = {(row["lr"], row["seed"]): row for row in rows}
    assert len(last) == 8
    assert all(float(row["env_steps"]) >= 4000 for row in last.values())
    assert all(row["final_score"] == row["episode_reward_mean"] for row in last.values())
    judged = [one["judged"] for one in summary["settings"]]
    assert judged == sorted(judged, reverse=True)
    assert found["best"] == judged[0]
    assert summary["best"]["trial"] in summary["settings"][0]["trials"]
    assert len(Table.from_run(run.path)) == 4
    warm = "ppo cartpole --searcher tpe --scheduler fifo --from runs/map --steps 4000 --dry-run"
    assert run_rltune(folder, *warm.split()).returncode == 0
