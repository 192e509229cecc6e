"""Sweeps that are stopped, killed, or go wrong: real Ray, real training."""

from __future__ import annotations

import os
import re
import signal
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import short
from short import run as run_short
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from warm import Started, run_rltune

import rltune
from rltune.runs.folder import RunFolder
from rltune.runs.json_text import loads

pytestmark = pytest.mark.slow


#: Enough for a signal to come in the middle.
STEPS = 8_000


class Interrupted:
    """A sweep that is stopped by signals once two trials have reported."""

    def __init__(self, folder: Path, name: str, *words: str) -> None:
        self.path = folder / "runs" / name
        words = (*short.words(name), "--steps", str(STEPS), *words)
        self.process = Started(folder, *words, descend=True)
        while len(list(self.path.glob("trials/*/progress.jsonl"))) < 2:
            assert self.process.is_running(), self.process.end()
            time.sleep(0.1)
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, *signals: signal.Signals) -> tuple[int, float, str]:
        """Exit code, seconds from the last signal to the end, and what was printed."""
        for number in signals:
            self.process.send_signal(number)
            sent = time.monotonic()
            time.sleep(0.3)
        done = self.process.end(60)
        return done.returncode, time.monotonic() - sent, done.stderr

    def left_behind(self) -> list[str]:
        psutil.wait_procs(self.children, timeout=5)
        return [p.name() for p in self.children if p.is_running() and p.status() != "zombie"]


@pytest.fixture
def interrupted(folder: Path, request: pytest.FixtureRequest) -> Iterator[Interrupted]:
    sweep = Interrupted(folder, request.node.name[:40].replace("[", "-").strip("]"), *request.param)
    yield sweep
    for process in (*sweep.children, psutil.Process(os.getpid())):
        if process.pid != os.getpid() and process.is_running():
            process.kill()


@pytest.mark.fault(6, 92)
@pytest.mark.parametrize("interrupted", [("--scheduler", "fifo")], indirect=True)
def test_two_signals_end_the_run_at_once(interrupted: Interrupted) -> None:
    code, seconds, printed = interrupted.stop(signal.SIGINT, signal.SIGINT)
    assert code == 130
    advice = f"interrupted: continue with: rltune resume runs/{interrupted.path.name}\n"
    assert printed.endswith(advice)
    assert seconds < 2
    assert interrupted.left_behind() == []
    assert RunFolder.open(interrupted.path).summary is None


@pytest.mark.fault(1, 5)
@pytest.mark.parametrize(
    "interrupted", [("--scheduler", "pb2", "--concurrent", "1")], indirect=True
)
def test_a_population_that_was_stopped_and_killed_resumes(
    interrupted: Interrupted, folder: Path
) -> None:
    """By SIGINT (test_training.py: SIGTERM), then by SIGKILL, which leaves no time for anything."""
    code, seconds, printed = interrupted.stop(signal.SIGINT)
    assert code == 130
    assert seconds < 10
    assert f"rltune resume runs/{interrupted.path.name}" in printed
    assert interrupted.left_behind() == []
    path = str(interrupted.path)
    run = RunFolder.open(path)
    lines = len(run.decisions())
    killed = Started(folder, "resume", path, "--quiet", descend=True)
    while len(run.decisions()) < lines + 4:
        assert killed.is_running()
        time.sleep(0.1)
    children = psutil.Process(killed.pid).children(recursive=True)
    assert killed.end(0).returncode == -signal.SIGKILL
    psutil.wait_procs(children, timeout=20)
    before = {trial: run.reports(trial)[-1].env_steps for trial in run.trials()}
    decided = [line for line in run.decisions() if line.kind == "exploit"]
    done = run_rltune(folder, "resume", path, "--json")
    assert done.returncode == 0, done.stderr
    summary = loads(done.stdout)
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 3
    assert [trial["id"] for trial in summary["trials"]] == ["t00", "t01", "t02"]
    assert [line for line in run.decisions() if line in decided] == decided
    spent = 0
    for trial in run.trials():
        rows = run.reports(trial)
        steps = [row.env_steps for row in rows]
        assert steps == sorted(set(steps))
        assert steps[-1] >= STEPS
        assert [row.training_iteration for row in rows] == list(range(1, len(rows) + 1))
        for lost in run.discarded(trial):
            assert lost.env_steps <= before[trial] + 1_000
        spent += sum(row.env_steps_this_iter for row in [*rows, *run.discarded(trial)])
        events = EventAccumulator(str(run.path / "trials" / trial))
        events.Reload()
        drawn = [point.step for point in events.Scalars("hyperparameters/lr")]
        assert drawn == steps, "TensorBoard shows no step twice"
    assert summary["env_steps"] == spent, "lost work is counted"


@pytest.mark.fault(29)
def test_a_trial_that_diverges_is_never_the_best(folder: Path, cluster_address: str) -> None:
    words = "--scheduler fifo --trials 2 --steps 4000 --concurrent 1 --json".split()
    space = ("--space", "vf_loss_coeff={log=[0.1,1e39]}", "--set", "grad_clip=inf")
    points = ("--point", "{vf_loss_coeff=1e39}", "--point", "{vf_loss_coeff=0.5}")
    done = run_short(folder, "diverged", *words, *space, *points, cluster=cluster_address)
    summary = loads(done.stdout)
    first, second = summary["trials"]
    assert (first["status"], second["status"]) == ("DIVERGED", "TERMINATED")
    assert first["score"] is None
    assert re.fullmatch(r"(loss|gradient) is (nan|inf|-inf) at step \d+", first["error"])
    assert summary["best"]["trial"] == "t01"


@pytest.mark.fault(31)
def test_a_sweep_whose_mutations_do_not_act_fails_with_both_values(
    folder: Path, cluster_address: str
) -> None:
    """A clone's optimiser is left at another rate, as stock RLlib leaves it at its donor's."""
    (folder / "stale.py").write_text(
        textwrap.dedent("""\
        import gymnasium as gym
        from gymnasium.envs.classic_control import CartPoleEnv
        from rltune.algorithms.learner import ArrayLearnerMixin

        def stale(self, env_steps):
            if self.config.exploit:
                for group in self.optimizers_by_setting()["lr"].param_groups:
                    group["lr"] = 0.0123

        ArrayLearnerMixin.set_clock = stale
        gym.register("Stale-v0", CartPoleEnv, max_episode_steps=500)
        """)
    )
    words = (
        "ppo Stale-v0 --import stale --preset short.toml --scheduler pbt --trials 2 --name stale "
        "--max-failures 0 --concurrent 1"
    )
    done = run_rltune(folder, *words.split(), cluster=cluster_address)
    assert done.returncode == 1
    assert re.search(r"the optimiser's lr acts at [\d.e-]+, asked for [\d.e-]+", done.stderr)
    run = rltune.load(folder / "runs" / "stale")
    failed = next(trial for trial in run.trials if trial["status"] == "ERROR")
    line = next(line for line in run.folder.decisions() if line.error)
    assert (line.kind, line.trial, line.effective) == ("exploit", failed["id"], {})
    assert "after the exploit of" in line.error


@pytest.mark.fault(54)
def test_two_parallel_sweeps_do_not_mix(folder: Path, cluster_address: str) -> None:
    """On one Ray: the same module name and environment id, with other code behind them (31330)."""
    sweeps = {}
    for name, reward in (("left", 1.0), ("right", 2.0)):
        place = folder / f"side-{name}"
        place.mkdir()
        (place / "mine.py").write_text(
            textwrap.dedent(f"""\
            import gymnasium as gym
            from gymnasium.envs.classic_control import CartPoleEnv

            class Mine(CartPoleEnv):
                def step(self, action):
                    obs, _, *rest = super().step(action)
                    return obs, {reward}, *rest

            gym.register("Mine-v0", Mine, max_episode_steps=1)
            """)
        )
        words = "ppo Mine-v0 --import mine --scheduler fifo --trials 1 --steps 512 --quiet --name a"
        sweeps[name] = Started(place, *words.split(), cluster=cluster_address), place, reward
    for process, place, reward in sweeps.values():
        assert process.end(200).returncode == 0
        run = RunFolder.open(place / "runs" / "a")
        assert run.trials() == ["t00"]
        assert {row.episode_reward_mean for row in run.reports("t00")} == {reward}


@pytest.mark.fault(17)
def test_a_failed_trial_is_reported_and_no_usable_trial_is_exit_1(
    folder: Path, cluster_address: str
) -> None:
    (folder / "failing.py").write_text(
        textwrap.dedent("""\
        import gymnasium as gym
        from gymnasium.envs.classic_control import CartPoleEnv

        class Failing(CartPoleEnv):
            steps = 0

            def step(self, action):
                Failing.steps += 1
                if Failing.steps > 500:
                    raise RuntimeError("the motor burnt out")
                return super().step(action)

        gym.register("Failing-v0", Failing, max_episode_steps=500)
        """)
    )
    words = "ppo Failing-v0 --import failing --scheduler fifo --trials 1 --name failing"
    done = run_rltune(folder, *words.split(), cluster=cluster_address)
    assert done.returncode == 1
    assert "the motor burnt out" in done.stderr
    assert "Traceback" not in done.stderr
    run = rltune.load(folder / "runs" / "failing")
    assert run.trials[0]["status"] == "ERROR"
    assert "the motor burnt out" in run.trials[0]["error"]
    assert len(run.trials[0]["failures"]) == 3, "two retries"
    failure = run.trials[0]["failures"][-1]
    assert failure["env_id"] == "failing:Failing-v0"
    assert failure["env_steps"] > 400
    assert "in step" in failure["traceback"]
    assert "in step" in (run.path / "trials" / "t00" / "error.txt").read_text()
