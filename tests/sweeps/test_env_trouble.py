"""Environments that go wrong in the middle of a sweep, as a user sees it."""

from __future__ import annotations

import shutil
from pathlib import Path

import faulty
import psutil
import pytest
from warm import run_rltune

from rltune.runs.folder import RunFolder
from rltune.runs.json_text import loads

pytestmark = pytest.mark.slow

QUICK = (
    "--trials 2 --steps 1200 --scheduler fifo --name a --target inf --concurrent 1 "
    "--set num_envs_per_env_runner=1 --set train_batch_size=200 --set minibatch_size=100 "
    "--set min_sample_timesteps_per_iteration=200"
).split()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A user's folder with the module of the environments in it."""
    shutil.copy(faulty.__file__, tmp_path / "mine.py")
    return tmp_path


@pytest.mark.fault(19, 20, 21)
@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("hang", "EnvironmentHung: no answer for 2 s (in match, "),
        ("segfault", "Crashed: Segmentation fault (in string_at, "),
    ],
)
def test_a_hang_or_crash_costs_a_retry(
    here: Path, what: str, error: str, cluster_address: str
) -> None:
    words = ("ppo", "mine:Once", "--env-arg", f"what={what}", "--env-arg", f"done={here}/done")
    more = ("--concurrent", "2", "--env-timeout", "2")
    done = run_rltune(here, *words, *QUICK, *more, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    folder = RunFolder.open(here / "runs/a")
    (failure,) = [failure for name in folder.trials() for failure in folder.failures(name)]
    assert failure.error.startswith(error)
    assert failure.tried_again is True
    assert "mine.py" in failure.traceback, "where it happened"
    assert "is tried again: " + error in " ".join(done.stdout.split())
    for name in folder.trials():
        assert folder.reports(name)[-1].env_steps >= 1_200
    assert folder.summary_contents["evaluation"]["mean"] == 10.0
    assert list(folder.path.rglob(".crash-*")) == []


@pytest.mark.by_hand
@pytest.mark.fault(19, 21, 99)
@pytest.mark.parametrize(
    ("env", "args", "error"),
    [
        ("Once", {"what": "hang"}, "EnvironmentHung: no answer for 2 s (in match, "),
        ("Once", {"what": "segfault"}, "Crashed: Segmentation fault (in string_at, "),
        ("Leaves", {"how": "_exit", "at": "300"}, "the environment ended its process with exit"),
    ],
)
def test_a_process_of_several_that_ends_costs_a_retry(
    here: Path, env: str, args: dict[str, str], error: str, cluster_address: str
) -> None:
    args["done" if env == "Once" else "once"] = str(here / "done")
    args |= {"log": str(here / "log")} if env == "Leaves" else {}
    given = [word for key, value in args.items() for word in ("--env-arg", f"{key}={value}")]
    quick = [word.replace("env_runner=1", "env_runner=2") for word in QUICK]
    two = ("--cpus-per-trial", "2", "--env-processes", "2", "--trials", "1")
    more = (*quick, *two, "--env-timeout", "2", "--episodes", "5")
    done = run_rltune(here, "ppo", f"mine:{env}", *given, *more, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    assert "2 copies in 2 processes; a step of one takes" in " ".join(done.stdout.split())
    folder = RunFolder.open(here / "runs/a")
    (failure,) = folder.failures("t00")
    assert error in failure.error
    assert failure.tried_again is True
    assert "mine.py" in failure.traceback, "where it happened"
    assert folder.reports("t00")[-1].env_steps >= 1_200
    assert list(folder.path.rglob(".crash-*")) == []
    started = (here / "log").read_text().split() if env == "Leaves" else []
    assert [pid for pid in started if psutil.pid_exists(int(pid))] == []


@pytest.mark.fault(78)
def test_a_failure_within_a_trial_is_reported_by_its_own_name(here: Path) -> None:
    """Also where temporary files lie too deep for Ray's sockets (81), on one core (80)."""
    deep = here / ("deep" * 30) / ("down" * 10)
    deep.mkdir(parents=True)
    variables = {"TMPDIR": str(deep), "SLURM_CPUS_PER_TASK": "1"}
    once = (*QUICK, "--trials", "1", "--max-failures", "0", "--concurrent", "1")
    done = run_rltune(here, "ppo", "mine:TakenPort", *once, variables=variables)
    assert done.returncode == 1, done.stderr
    error = "mine.Taken: port 7000 is taken (mine.py:{}, in __init__)"
    source = (here / "mine.py").read_text().splitlines()
    error = error.format(source.index('            raise Taken("port 7000\\nis taken")') + 1)
    assert error in " ".join(done.stderr.split())
    folder = RunFolder.open(here / "runs/a")
    assert folder.failures("t00")[0].error == error
    text = (folder.path / "trials/t00/error.txt").read_text()
    assert text.startswith("Traceback (most recent call last):\n  File ")
    assert "mine.py" in text.splitlines()[1]
    for noise in ("ray::", "pid=", "\x1b", "Failure #", "actor died"):
        assert noise not in text
        assert noise not in folder.failures("t00")[0].traceback


@pytest.mark.fault(19, 75)
def test_a_hang_while_a_policy_is_scored_loses_nothing(here: Path, cluster_address: str) -> None:
    words = ("ppo", "mine:HangingScore", *QUICK, "--env-timeout", "2", "--json")
    done = run_rltune(here, *words, cluster=cluster_address)
    assert done.returncode == 1, done.stderr
    told = " ".join(done.stderr.split())
    assert "while a policy was scored: EnvironmentHung: no answer for 2 s (in match, " in told
    assert "mine.py" in told, "where it hung"
    assert "What was trained is kept. Try again with: rltune resume runs/a" in told
    summary = loads(done.stdout.splitlines()[-1])
    assert summary["best"]["trial"] in {"t00", "t01"}
    assert summary["evaluation"] is None
    assert {body["phase"] for body in summary["unscored"]} == {"selection"}
    assert (here / "runs/a/best/preset.toml").exists()
    (here / "mine.py").write_text((here / "mine.py").read_text().replace("1 << 30", "1 << 60"))
    done = run_rltune(here, "evaluate", "runs/a")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("10.0 mean return")
    done = run_rltune(here, "resume", "runs/a")
    assert done.returncode == 0, done.stderr
    again = RunFolder.open(here / "runs/a").summary_contents
    assert again["evaluation"]["mean"] == 10.0
    assert again["unscored"] == []
    assert again["trials"] == summary["trials"]


@pytest.mark.fault(74)
def test_no_more_copies_exist_than_allowed(here: Path, cluster_address: str) -> None:
    """Three members on two slots exploit, fail once, and are scored."""
    (here / "copies").mkdir()
    words = ("ppo", "mine:Counted", "--env-arg", f"folder={here}/copies", "--env-arg", "most=2")
    population = ("--scheduler", "pb2", "--trials", "3", "--perturb-every", "400")
    more = ("--env-copies", "2", "--concurrent", "3", "--episodes", "30", "--json")
    done = run_rltune(here, *words, *QUICK, *population, *more, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    assert "note: --env-copies 2: 2 trials at a time, each with at most 1 copies" in done.stderr
    folder = RunFolder.open(here / "runs/a")
    assert [folder.failures(name) for name in folder.trials()] == [[], [], []]
    assert not list(folder.path.rglob("events.jsonl")), "none had to be made again"
    assert len(folder.decisions()) > 0
    made = (here / "copies/log").read_text()
    assert "made beside 1 in" in made
    assert "made beside 2 in" not in made
    assert list((here / "copies").glob("*.copy")) == [], "all of them are closed"
    summary = loads(done.stdout.splitlines()[-1])
    assert (summary["evaluation"]["episodes"], summary["evaluation"]["mean"]) == (30, 10.0)
    assert "[evaluation]\nepisodes = 30\n" in (folder.path / "best/preset.toml").read_text()


@pytest.mark.fault(99)
def test_a_trial_ended_by_its_environment_says_so_and_leaves_no_process(here: Path) -> None:
    args = {"how": "_exit", "at": 300, "once": f"{here}/once", "log": f"{here}/log"}
    given = [word for key, value in args.items() for word in ("--env-arg", f"{key}={value}")]
    done = run_rltune(here, "ppo", "mine:Leaves", *given, *QUICK)
    assert done.returncode == 0, done.stderr
    folder = RunFolder.open(here / "runs/a")
    (failure,) = [failure for name in folder.trials() for failure in folder.failures(name)]
    told = "the environment ended its process with exit code 3 (in step, "
    assert told in failure.error
    assert "mine.py" in failure.error
    started = [int(pid) for pid in (here / "log").read_text().split()]
    assert len(started) > 10
    assert [pid for pid in started if psutil.pid_exists(pid)] == []


@pytest.mark.fault(26)
def test_an_environment_that_never_ends_is_cut_off(here: Path, cluster_address: str) -> None:
    (here / "mine.py").write_text(
        (here / "mine.py").read_text().replace("self.count >= 10", "False")
    )
    few = ("--trials", "1", "--episodes", "4", "--selection-episodes", "2")
    done = run_rltune(here, "ppo", "mine:Faulty", *QUICK, *few, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    folder = RunFolder.open(here / "runs/a")
    assert {
        row.episode_reward_mean for name in folder.trials() for row in folder.reports(name)
    } == {None}
    assert folder.summary_contents["evaluation"]["mean"] == 10_000.0, "the cap is 10,000 steps"


@pytest.mark.fault(27)
def test_a_huge_reward_is_reported_and_breaks_no_report(here: Path, cluster_address: str) -> None:
    """Its square is more than 32 bits hold: the loss is not finite, and the trial says so."""
    done = run_rltune(here, "ppo", "mine:Huge", *QUICK, cluster=cluster_address)
    assert done.returncode == 1, done.stderr
    assert "every trial diverged; t00: loss is inf at step 200" in " ".join(done.stderr.split())
    summary = RunFolder.open(here / "runs/a").summary_contents
    assert {trial["status"] for trial in summary["trials"]} == {"DIVERGED"}


@pytest.mark.fault(28)
def test_output_of_an_environment_stays_bounded(here: Path) -> None:
    words = ("ppo", "mine:Chatty", "--env-arg", f"log={here}/log", "--trials", "1")
    done = run_rltune(here, *words, *QUICK[2:])
    assert done.returncode == 0, done.stderr
    assert "chatter" not in done.stdout + done.stderr
    log = Path((here / "log").read_text())
    kept = sum(file.stat().st_size for file in log.parent.glob(f"{log.name.split('.')[0]}*"))
    printed = 1_200 * 100_000
    assert kept < printed / 4
