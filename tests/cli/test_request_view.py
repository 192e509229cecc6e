"""``--dry-run`` prints the plan and checks all that a start checks; ``show`` prints a run's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, Said

from rltune.cli import request_view
from rltune.processes import machine
from rltune.processes.machine import Grant
from rltune.processes.torch_build import FAKE
from rltune.request import batches, capacity
from rltune.request.resolve import make_request, make_spec
from rltune.runs.folder import RunFolder
from rltune.spec import JobSpec


def test_the_plan_says_what_will_happen(said: Said, tmp_path: Path) -> None:
    code, shown, err = said(
        f"dqn cartpole --dry-run --steps 10k --batch off --storage {tmp_path} --name mine"
    )
    assert (code, err) == (0, "")
    assert max(map(len, shown.splitlines())) <= 80
    words = " ".join(shown.split())
    for part in (
        "what dqn on cartpole (CartPole-v1): 4 trials x 10,000 environment steps, 40,000 at most",
        "scheduler pb2, every 2,000 steps: Population Based Bandits",
        "searcher random: ",
        "searched lr: log = [0.0003, 0.003], starts at 0.001 gamma: one_minus_log",
        "ends at episode_reward_mean 490, or with the last trial",
        "scoring 200 episodes on fresh seeds, up to 100,000 environment steps; fewer with --epi",
        "a trial has 1 CPU",
        "replay buffer 3 MB of memory a trial",
    ):
        assert part in words, part
    assert f"{tmp_path}/mine" in "".join(words.split())  # folded where it is long
    assert list(tmp_path.iterdir()) == []


def test_notices_are_part_of_the_plan(said: Said, tmp_path: Path) -> None:
    words = "ppo cartpole --dry-run --perturb-every 2000 --trials 1 --storage"
    shown = " ".join(said(f"{words} {tmp_path}")[1].split())
    assert "note pb2 has one trial" in shown
    assert "gives each of 8 environments 250 steps" in shown


def test_the_plan_of_a_training_run_and_of_a_race(tmp_path: Path) -> None:
    spec, job = make_request("ppo", "cartpole", job="train", trials=3, storage=tmp_path)
    rows = dict(request_view.rows(spec, job))
    assert "one preset on 3 training seeds, 100,000 environment steps each" in rows["what"]
    assert "searched" not in rows
    race = make_spec(
        "ppo", "cartpole", scheduler="asha", trials=6, seeds_per_trial=2, storage=tmp_path
    )
    assert "6 settings on up to 2 seeds each" in dict(request_view.rows(race, JobSpec()))["what"]


@pytest.mark.fault(94)
@pytest.mark.usefixtures("no_ray_session")
def test_a_dry_run_checks_what_a_start_checks(said: Said, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "taken").mkdir()
    for words, code, answer in (
        ("--storage /proc/x", 3, "--storage /proc/x cannot be written"),
        (f"--storage {tmp_path}/file/runs", 3, "cannot be written: Not a directory"),
        (f"--storage {tmp_path} --name taken", 2, "exists already. Remove it, or choose another"),
        (f"--storage {tmp_path} --name a/b", 2, "run name 'a/b'"),
        ("--memory-per-trial 90TB", 2, "--memory-per-trial"),
        ("--cpus-per-trial 9999", 2, "--cpus-per-trial"),
        ("--gpus-per-trial 999", 2, "a trial asks for 999 GPU (--gpus-per-trial): this machine"),
    ):
        for more in ("", " --json"):
            done, out, err = said(f"ppo cartpole --dry-run {words}{more}")
            assert (done, out) == (code, ""), err
            assert answer in err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "taken"]


@pytest.mark.fault(94)
def test_gpus_are_counted_by_what_this_process_may_use(tmp_path: Path) -> None:
    assert machine.gpus(tmp_path, {}) == Grant(0)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    assert machine.gpus(tmp_path, {}) is None, "a driver without devices: its library knows"
    for number in range(3):
        (tmp_path / f"dev/nvidia{number}").touch()
    assert machine.gpus(tmp_path, {}) == Grant(3)
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    assert machine.gpus(tmp_path, hidden) == Grant(0, "CUDA_VISIBLE_DEVICES=")
    assert machine.gpus(tmp_path, {"CUDA_VISIBLE_DEVICES": "0,2"}).amount == 2  # type: ignore[union-attr]
    assert machine.gpus(tmp_path, {"CUDA_VISIBLE_DEVICES": "MIG-1,MIG-2"}) is None


def test_slots_follow_from_the_scarcest_resource(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: Grant(1))
    monkeypatch.setattr(machine, "cores", lambda: Grant(8))
    monkeypatch.setenv(FAKE, "1")
    asked = {"storage": tmp_path, "trials": 6}
    assert capacity.slots_here(make_spec("ppo", "cartpole", **asked)) == 6
    halves = make_spec("ppo", "cartpole", gpus_per_trial=0.5, batch="off", **asked)
    assert capacity.slots_here(halves) == 2
    together = make_spec("ppo", "cartpole", gpus_per_trial=0.5, **asked)
    assert batches.size(together, capacity.processes_here(together)) == (2, 3)
    assert capacity.slots_here(together) == 6
    assert capacity.slots_here(make_spec("ppo", "cartpole", concurrent=3, **asked)) == 3


def test_the_plan_says_which_trials_share_a_batch(said: Said) -> None:
    words = "--trials 8 --batch 4 --dry-run --space"
    _, shown, err = said(f"ppo cartpole {words} 'minibatch_size={{choice=[64,256]}}'")
    assert "trials with the same minibatch_size train as one batch, up to 4" in shown
    code, _, err = said(f"ppo cartpole {words} 'num_env_runners={{choice=[0,1]}}'")
    assert (code, "num_env_runners must be 0" in err) == (2, True)


def test_a_run_is_shown_with_its_state_and_what_is_next(said: Said, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests/data/runs_0_1", tmp_path, dirs_exist_ok=True)
    ended = " ".join(said(f"show {tmp_path}/finished")[1].split())
    summary = RunFolder(tmp_path / "finished").summary
    assert summary is not None
    assert summary.best is not None
    assert "what ppo on cartpole (CartPole-v1): 3 trials x 8,000 environment steps" in ended
    assert "state ended: steps" in ended
    assert f"best trial {summary.best.trial}, score 465.6" in ended
    assert f"rltuneevaluate{tmp_path}/finished" in "".join(ended.split())
    killed = " ".join(said(f"show {tmp_path}/killed")[1].split())
    assert "state stopped" in killed
    assert f"rltuneresume{tmp_path}/killed" in "".join(killed.split())
    assert json.loads(said(f"show {tmp_path}/killed --json")[1])["state"] == "stopped"


def test_what_cannot_be_shown_is_refused(said: Said) -> None:
    for words, answer in {
        "sac cartpole": "sac cannot act in CartPole-v1",
        "dqn": "dqn on what? rltune show dqn cartpole, or rltune show RUN",
        "runs/none": "nor a run folder",
        "dqn cartpol": "Did you mean 'cartpole'?",
        "dqn cartpole --set learning_rate=1": "Did you mean 'lr'",
    }.items():
        code, out, err = said(f"show {words}")
        assert (code, out) == (2, ""), words
        assert answer in err


def test_a_preset_is_shown_with_what_is_searched_first(said: Said) -> None:
    lines = said("show dqn cartpole")[1].splitlines()
    headings = [line.split()[0] for line in lines if line.split()[-1:] == ["from"]]
    assert headings == ["searched", "budget", "fixed"]
    names = [line.split()[0] for line in lines if line]
    assert names.index("lr") < names.index("steps") < names.index("train_batch_size")
    assert max(len(line.rstrip()) for line in lines[:-1]) <= 80
