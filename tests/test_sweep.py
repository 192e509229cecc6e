"""Whole sweeps on the real thing: real Ray, real training, real TensorBoard files."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import CLUSTER, environment, ray_head, run_rltune
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import rltune
import rltune.catalog
import rltune.sweeps
from rltune import evaluation
from rltune.algorithms.policy import load_policy
from rltune.catalog import preset as load_preset
from rltune.cli.parse import value
from rltune.runs import RunFolder, loads
from rltune.schedulers import SCHEDULERS
from rltune.searchers import SEARCHERS
from rltune.spec import FIRST_EVALUATION_SEED

pytestmark = pytest.mark.slow

#: A short preset: three members, four intervals, on two cores.
SHORT = """\
[budget]
steps = 8_000
trials = 3
perturb_every = 2_000
target = inf
[settings]
min_sample_timesteps_per_iteration = 1_000
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweeps")
    (path / "short.toml").write_text(SHORT)
    return path


def _words(name: str, *more: str) -> list[str]:
    return ["ppo", "cartpole", "--preset", "short.toml", "--name", name, *more]


def _command(name: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "rltune", *_words(name, *more)]


def _run(folder: Path, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    done = run_rltune(folder, *_words(name, *more))
    assert done.returncode == 0, done.stderr
    return done


class Population:
    """A finished PB2 sweep, and what it printed."""

    def __init__(self, folder: Path) -> None:
        self.listening: set[str] = set()
        self.path = folder / "runs" / "pb2"
        process = subprocess.Popen(
            _command("pb2", "--json", "--seed", "3"),
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while process.poll() is None and not list(self.path.glob("trials/*/progress.jsonl")):
            time.sleep(0.1)
        self._look(process.pid)
        self.stdout, self.stderr = process.communicate(timeout=300)
        self.returncode = process.returncode
        self.run = rltune.load(self.path)

    def _look(self, pid: int) -> None:
        """Where the processes of a running sweep listen."""
        for child in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            self.listening |= {
                connection.laddr.ip
                for connection in child.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            }


@pytest.fixture(scope="module")
def pb2(folder: Path) -> Population:
    return Population(folder)


class TestPopulation:
    """More members than cores, taking turns and exploiting."""

    def test_it_ends_well_and_its_last_line_is_the_summary(self, pb2: Population) -> None:
        assert pb2.returncode == 0, pb2.stderr
        assert loads(pb2.stdout.splitlines()[-1]) == pb2.run.summary
        assert "Infinity" not in pb2.stdout
        assert len(pb2.stdout.splitlines()) == 1

    def test_piped_output_has_no_control_codes(self, pb2: Population) -> None:
        assert "\x1b" not in pb2.stdout + pb2.stderr
        assert "mean return" in pb2.stderr

    def test_no_noise_of_ray_is_printed(self, pb2: Population) -> None:
        assert not re.search(r"ray::|raylet|WARN|Warning|Traceback|pid=", pb2.stderr), pb2.stderr

    def test_the_next_commands_are_printed(self, pb2: Population) -> None:
        for command in ("rltune board", "rltune evaluate", "--preset"):
            assert command in pb2.stderr

    def test_59_it_listens_on_loopback_alone(self, pb2: Population) -> None:
        assert pb2.listening
        assert pb2.listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}

    def test_every_member_reaches_its_budget(self, pb2: Population) -> None:
        assert pb2.run.folder.trials() == ["t00", "t01", "t02"]
        for trial in pb2.run.folder.trials():
            steps = [row.env_steps for row in pb2.run.folder.rows(trial)]
            assert steps == sorted(steps), "an exploit does not turn the clock back"
            assert 8_000 <= steps[-1] < 10_000
        assert all(trial["status"] == "TERMINATED" for trial in pb2.run.trials)

    def test_members_take_turns(self, pb2: Population) -> None:
        rows = [row for trial in pb2.run.folder.trials() for row in pb2.run.folder.rows(trial)]
        order = [row.trial for row in sorted(rows, key=lambda row: row.wall_seconds)]
        first_end = order.index("t00") + [i for i, t in enumerate(order) if t == "t00"][-1]
        assert set(order[:first_end]) == {"t00", "t01", "t02"}

    def test_what_was_decided_is_what_was_done(self, pb2: Population) -> None:
        decisions = pb2.run.folder.decisions()
        assert {decision["kind"] for decision in decisions} == {"exploit", "restore"}
        for decision in decisions:
            assert decision["trial"] != decision["donor"]
            assert decision["effective"] == pytest.approx(decision["requested"])
            rows = pb2.run.folder.rows(decision["trial"])
            later = next(row for row in rows if row.env_steps > decision["env_steps"])
            assert later.settings == pytest.approx(decision["requested"])

    def test_steps_are_counted_whole(self, pb2: Population) -> None:
        summary = pb2.run.summary
        last = sum(trial["env_steps"] for trial in pb2.run.trials)
        assert summary["env_steps"] == last
        seconds = summary["wall_seconds"]
        assert summary["env_steps_per_second"] == pytest.approx(last / seconds, rel=0.01)

    def test_the_score_is_on_fresh_seeds(self, pb2: Population) -> None:
        score = pb2.run.summary["evaluation"]
        assert score["episodes"] == len(set(score["seeds"])) == 100
        assert min(score["seeds"]) >= FIRST_EVALUATION_SEED
        assert score["ci95"][0] <= score["mean"] <= score["ci95"][1]
        assert pb2.run.summary["stop_reason"] == "steps"

    def test_the_best_is_chosen_on_its_own_record(self, pb2: Population) -> None:
        best = pb2.run.best
        folder = pb2.run.folder
        candidates = folder.checkpoints()[: evaluation.CANDIDATES]
        assert len(candidates) > 1
        scores = []
        for checkpoint in candidates:
            policy = load_policy(folder.spec, folder, checkpoint)
            seeds = evaluation.selection_seeds(folder.spec.seed, evaluation.SELECTION_EPISODES)
            scores.append(sum(evaluation.play(policy, folder.spec, seeds)) / len(seeds))
        assert best["selection_score"] == pytest.approx(max(scores))
        assert candidates[scores.index(max(scores))].parts[-3] == best["trial"]
        seen = [
            row.episode_reward_mean
            for row in pb2.run.folder.rows(best["trial"])
            if row.episode_reward_mean is not None
        ]
        assert any(best["score"] == pytest.approx(score) for score in seen)
        assert (pb2.path / best["checkpoint"] / "policy.pt").is_file()

    def test_evaluating_again_gives_the_same_score(self, pb2: Population) -> None:
        score = pb2.run.evaluate()
        assert score.to_dict()["mean"] == pb2.run.summary["evaluation"]["mean"]
        assert score.seeds != pb2.run.evaluate(episodes=10, seed=99).seeds

    def test_evaluating_prints_the_score_and_no_noise(self, pb2: Population, folder: Path) -> None:
        done = run_rltune(folder, "evaluate", "runs/pb2", "--episodes", "5")
        assert done.returncode == 0
        assert "over 5 episodes of CartPole-v1" in done.stdout + done.stderr
        assert "WARN" not in done.stdout + done.stderr

    def test_tensorboard_shows_metric_and_settings_over_environment_steps(
        self, pb2: Population
    ) -> None:
        for trial in pb2.run.folder.trials():
            rows = pb2.run.folder.rows(trial)
            events = EventAccumulator(str(pb2.path / "trials" / trial))
            events.Reload()
            points = events.Scalars("episode_reward_mean")
            scored = [row for row in rows if row.episode_reward_mean is not None]
            assert [point.step for point in points] == [row.env_steps for row in scored]
            assert [point.value for point in points] == pytest.approx(
                [row.episode_reward_mean for row in scored]
            )
            rates = events.Scalars("hyperparameters/lr")
            assert [point.step for point in rates] == [row.env_steps for row in rows]
            assert [p.value for p in rates] == pytest.approx([row.settings["lr"] for row in rows])

    def test_its_best_preset_starts_the_next_sweep(self, pb2: Population) -> None:
        path = pb2.path / "best" / "preset.toml"
        spec = pb2.run.folder.spec
        loaded = load_preset("ppo", rltune.catalog.environment("cartpole"), str(path))
        assert dict(loaded.settings) == pb2.run.best["config"]
        assert set(loaded.space) == set(spec.space)
        assert all(loaded.space[n].domain() == spec.space[n].domain() for n in spec.space)

    def test_08_a_finished_run_resumes_to_itself(self, pb2: Population, folder: Path) -> None:
        before = pb2.run.summary
        done = run_rltune(folder, "resume", "runs/pb2", "--json")
        assert loads(done.stdout) == before

    def test_run_json_was_written_whole(self, pb2: Population) -> None:
        spec = pb2.run.folder.spec
        assert (spec.algo, spec.env_id, spec.seed) == ("ppo", "CartPole-v1", 3)
        assert spec.budget.trials == 3
        assert spec.command[0] == "rltune"


@pytest.mark.parametrize("scheduler", sorted(set(SCHEDULERS) - {"pb2"}))
@pytest.mark.parametrize("searcher", SEARCHERS)
def test_every_scheduler_and_searcher_ends_a_sweep(
    folder: Path, scheduler: str, searcher: str
) -> None:
    name = f"{scheduler}-{searcher}"
    done = _run(folder, name, "--scheduler", scheduler, "--searcher", searcher, "--json")
    summary = loads(done.stdout)
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 3
    assert summary["evaluation"]["episodes"] == 100
    kinds = {d["kind"] for d in RunFolder.open(folder / "runs" / name).decisions()}
    assert kinds <= {"asha": {"stop"}, "pbt": {"exploit", "restore"}}.get(scheduler, set())


@pytest.mark.parametrize(("algo", "env"), [("dqn", "acrobot"), ("sac", "pendulum")])
def test_an_off_policy_population(folder: Path, algo: str, env: str) -> None:
    (folder / "brief.toml").write_text(
        "[budget]\nsteps = 2_400\ntrials = 3\nperturb_every = 800\ntarget = inf\n"
        "[settings]\nmin_sample_timesteps_per_iteration = 400\ntraining_intensity = 8.0\n"
        "num_steps_sampled_before_learning_starts = 200\n"
    )
    words = (algo, env, "--preset", "brief.toml", "--name", algo, "--json")
    done = run_rltune(folder, *words)
    assert done.returncode == 0, done.stderr
    assert "replay buffer takes" in done.stderr
    summary = loads(done.stdout)
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 3
    assert summary["evaluation"]["episodes"] == 100
    for decision in RunFolder.open(folder / "runs" / algo).decisions():
        assert decision["effective"] == pytest.approx(decision["requested"])


def _progress(path: Path) -> list[dict[str, Any]]:
    folder = RunFolder.open(path)
    rows = [row.to_dict() for trial in folder.trials() for row in folder.rows(trial)]
    return [{key: v for key, v in row.items() if key != "wall_seconds"} for row in rows]


def test_34_one_seed_fixes_a_sweep(folder: Path) -> None:
    for name, seed in (("same-1", "7"), ("same-2", "7"), ("other", "8")):
        _run(folder, name, "--seed", seed, "--scheduler", "pbt", "--concurrent", "1", "--quiet")
    runs = {name: folder / "runs" / name for name in ("same-1", "same-2", "other")}
    assert _progress(runs["same-1"]) == _progress(runs["same-2"])
    assert _progress(runs["same-1"]) != _progress(runs["other"])
    first, second = (RunFolder.open(runs[n]) for n in ("same-1", "same-2"))
    assert first.decisions() == second.decisions()
    assert first.summary is not None
    assert second.summary is not None
    assert first.summary["evaluation"] == second.summary["evaluation"]


def test_a_target_ends_the_sweep_and_keeps_the_policy_that_got_there(folder: Path) -> None:
    done = _run(folder, "target", "--scheduler", "fifo", "--target", "40", "--json")
    summary = loads(done.stdout)
    assert summary["stop_reason"] == "target"
    assert summary["env_steps"] < 3 * 8_000
    # The policy that got there was kept, so it was among those that played for being the best.
    run = RunFolder.open(folder / "runs" / "target")
    records = [run.record(checkpoint)["episode_returns"] for checkpoint in run.checkpoints()]
    assert max(sum(returns) / len(returns) for returns in records if returns) >= 40
    assert summary["best"]["selection_score"] is not None


def test_a_time_budget_ends_the_sweep(folder: Path) -> None:
    words = ("--scheduler", "fifo", "--steps", "10000000", "--time-budget", "20", "--json")
    summary = loads(_run(folder, "timed", *words).stdout)
    assert summary["stop_reason"] == "time_budget"
    assert summary["evaluation"]["episodes"] == 100


@pytest.fixture
def cluster() -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a cluster, and variables that a client needs."""
    for address in ray_head({}):
        yield address, CLUSTER


def test_a_sweep_on_a_cluster(folder: Path, cluster: tuple[str, dict[str, str]]) -> None:
    address, variables = cluster
    done = run_rltune(
        folder,
        *_words("cluster", "--address", address, "--concurrent", "1", "--json"),
        variables=variables,
    )
    assert done.returncode == 0, done.stderr
    summary = loads(done.stdout)
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 3
    rows = [
        row
        for t in summary["trials"]
        for row in RunFolder.open(folder / "runs/cluster").rows(t["id"])
    ]
    assert len({row.wall_seconds for row in rows}) == len(rows), "one trial at a time"


class Interrupted:
    """A sweep that is stopped by signals once two trials have reported."""

    def __init__(self, folder: Path, name: str, *words: str) -> None:
        self.path = folder / "runs" / name
        self.process = subprocess.Popen(
            _command(name, "--steps", "30000", *words),
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while len(list(self.path.glob("trials/*/progress.jsonl"))) < 2:
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.1)
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, *signals: signal.Signals) -> tuple[int, float, str]:
        """Exit code, seconds from the last signal to the end, and what was printed."""
        for number in signals:
            self.process.send_signal(number)
            sent = time.monotonic()
            time.sleep(0.3)
        _, printed = self.process.communicate(timeout=60)
        return self.process.returncode, time.monotonic() - sent, printed

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


FIFO = ("--scheduler", "fifo")


@pytest.mark.parametrize("interrupted", [FIFO], indirect=True)
def test_05_one_signal_saves_and_the_run_goes_on(interrupted: Interrupted, folder: Path) -> None:
    code, seconds, printed = interrupted.stop(signal.SIGINT)
    assert code == 130
    assert seconds < 10
    assert f"rltune resume runs/{interrupted.path.name}" in printed
    assert interrupted.left_behind() == []
    done = run_rltune(folder, "resume", str(interrupted.path), "--json")
    summary = loads(done.stdout)
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 3
    assert all(trial["env_steps"] >= 30_000 for trial in summary["trials"])


@pytest.mark.parametrize("interrupted", [FIFO], indirect=True)
def test_06_two_signals_leave_at_once(interrupted: Interrupted) -> None:
    code, seconds, _ = interrupted.stop(signal.SIGINT, signal.SIGINT)
    assert code == 130
    assert seconds < 2
    assert interrupted.left_behind() == []
    assert RunFolder.open(interrupted.path).summary is None


@pytest.mark.parametrize("interrupted", [("--scheduler", "pb2")], indirect=True)
def test_01_a_population_that_is_stopped_and_killed_goes_on(
    interrupted: Interrupted, folder: Path
) -> None:
    """By SIGTERM (test 07: it is SIGINT), then by SIGKILL, which leaves no time for anything."""
    code, seconds, printed = interrupted.stop(signal.SIGTERM)
    assert code == 130
    assert seconds < 10
    assert "rltune resume" in printed
    assert interrupted.left_behind() == []
    path = str(interrupted.path)
    run = RunFolder.open(path)
    lines = len(run.decisions())
    words = [sys.executable, "-m", "rltune", "resume", path, "--quiet"]
    killed = subprocess.Popen(words, cwd=folder, env=environment())
    while len(run.decisions()) < lines + 4:
        assert killed.poll() is None
        time.sleep(0.1)
    children = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    killed.wait()
    psutil.wait_procs(children, timeout=20)
    before = {trial: run.rows(trial)[-1].env_steps for trial in run.trials()}
    decided = [line for line in run.decisions() if line["kind"] == "exploit"]
    done = run_rltune(folder, "resume", path, "--json")
    assert done.returncode == 0, done.stderr
    summary = loads(done.stdout)
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 3
    assert [trial["id"] for trial in summary["trials"]] == ["t00", "t01", "t02"]
    assert [line for line in run.decisions() if line in decided] == decided
    spent = 0
    for trial in run.trials():
        rows = run.rows(trial)
        steps = [row.env_steps for row in rows]
        assert steps == sorted(set(steps))
        assert steps[-1] >= 30_000
        assert [row.training_iteration for row in rows] == list(range(1, len(rows) + 1))
        for lost in run.discarded(trial):
            assert lost.env_steps <= before[trial] + 1_000
        spent += sum(row.env_steps_this_iter for row in [*rows, *run.discarded(trial)])
        events = EventAccumulator(str(run.path / "trials" / trial))
        events.Reload()
        drawn = [point.step for point in events.Scalars("hyperparameters/lr")]
        assert drawn == steps, "TensorBoard shows no step twice"
    assert summary["env_steps"] == spent, "lost work is counted"


def test_29_a_trial_that_diverges_is_never_the_best(folder: Path) -> None:
    words = ("--scheduler", "fifo", "--trials", "2", "--steps", "4000", "--json")
    space = ("--space", "vf_loss_coeff={log=[0.1,1e39]}", "--set", "grad_clip=inf")
    points = ("--point", "{vf_loss_coeff=1e39}", "--point", "{vf_loss_coeff=0.5}")
    done = _run(folder, "diverged", *words, *space, *points)
    summary = loads(done.stdout)
    first, second = summary["trials"]
    assert (first["status"], second["status"]) == ("DIVERGED", "TERMINATED")
    assert first["score"] is None
    assert re.fullmatch(r"(loss|gradient) is (nan|inf|-inf) at step \d+", first["error"])
    assert summary["best"]["trial"] == "t01"


def test_31_a_sweep_whose_mutations_do_not_act_fails_with_both_values(folder: Path) -> None:
    """The re-application of the learning rate is taken out, as stock RLlib has none."""
    (folder / "stale.py").write_text(
        textwrap.dedent("""\
        import gymnasium as gym
        from gymnasium.envs.classic_control import CartPoleEnv
        from rltune.algorithms.learner import ArrayLearner

        ArrayLearner.set_clock = lambda self, env_steps: None
        gym.register("Stale-v0", CartPoleEnv, max_episode_steps=500)
        """)
    )
    words = (
        "ppo Stale-v0 --import stale --preset short.toml --scheduler pbt --trials 2 --name stale"
    )
    done = run_rltune(folder, *words.split(), "--max-failures", "0")
    assert done.returncode == 1
    assert re.search(r"the optimiser's lr acts at [\d.e-]+, asked for [\d.e-]+", done.stderr)
    run = rltune.load(folder / "runs" / "stale")
    failed = next(trial for trial in run.trials if trial["status"] == "ERROR")
    line = next(line for line in run.folder.decisions() if line.get("error"))
    assert (line["kind"], line["trial"], line["effective"]) == ("exploit", failed["id"], {})
    assert "after the exploit of" in line["error"]


def test_54_two_sweeps_side_by_side_do_not_mix(folder: Path) -> None:
    """The same module name and environment id, with other code behind them (ray 31330)."""
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
        command = [sys.executable, "-m", "rltune", *words.split()]
        sweeps[name] = subprocess.Popen(command, cwd=place, env=environment()), place, reward
    for process, place, reward in sweeps.values():
        assert process.wait(200) == 0
        run = RunFolder.open(place / "runs" / "a")
        assert run.trials() == ["t00"]
        assert {row.episode_reward_mean for row in run.rows("t00")} == {reward}


def test_17_a_trial_that_fails_is_told_and_nothing_usable_is_exit_1(folder: Path) -> None:
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
    done = run_rltune(folder, *words.split())
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


def test_the_same_from_python(folder: Path) -> None:
    run = rltune.sweep(
        "ppo",
        "cartpole",
        preset=folder / "short.toml",
        trials=1,
        scheduler="fifo",
        settings={"lr": value("5e-4")},
        storage=folder / "runs",
        name="python",
    )
    assert run.best["config"]["lr"] == 5e-4
    assert repr(run) == f"Run({str(folder / 'runs' / 'python')!r})"
    assert run.evaluate(episodes=5).episodes == 5
