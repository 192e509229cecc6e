"""Whole sweeps on the real thing: real Ray, real training, real TensorBoard files."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from conftest import environment
from short import command
from short import run as run_short
from spaces import OF_PPO
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from warm import run_rltune

import rltune
import rltune.catalog
from rltune.algorithms.policy import load_policy
from rltune.catalog.presets import preset as load_preset
from rltune.catalog.toml import written
from rltune.policies import evaluation
from rltune.policies.episodes import play
from rltune.runs.folder import RunFolder
from rltune.runs.json_text import loads
from rltune.schedulers import row
from rltune.searchers import SEARCHERS
from rltune.space import KINDS
from rltune.spec import CANDIDATES, FIRST_EVALUATION_SEED

pytestmark = pytest.mark.slow


class Population:
    """A finished PB2 sweep, and what it printed."""

    def __init__(self, folder: Path) -> None:
        self.listening: set[str] = set()
        self.workers: set[Path] = set()
        self.path = folder / "runs" / "pb2"
        process = subprocess.Popen(
            command("pb2", "--json", "--seed", "3"),
            cwd=folder,
            env=environment() | {"RAY_prestart_worker_first_driver": "1"},  # not as conftest has it
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
        """Where the processes of a running sweep listen, and the workers that Ray has started."""
        for child in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            for word in child.cmdline():
                if word.startswith("--session-dir="):
                    self.workers |= set(Path(word.partition("=")[2]).glob("logs/worker-*.out"))
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

    def test_no_log_lines_of_ray_are_printed(self, pb2: Population) -> None:
        assert not re.search(r"ray::|raylet|WARN|Warning|Traceback|pid=", pb2.stderr), pb2.stderr

    def test_the_next_commands_are_printed(self, pb2: Population) -> None:
        for words_shown in (
            "rltune board",
            "rltune evaluate",
            "rltune train ppo cartpole --preset",
        ):
            assert words_shown in pb2.stderr

    @pytest.mark.fault(59)
    def test_it_listens_on_loopback_alone(self, pb2: Population) -> None:
        assert pb2.listening
        assert pb2.listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}

    def test_no_idle_process_is_started(self, pb2: Population) -> None:
        """Ray would start one for each CPU, and trials get others (ray 2.60)."""
        assert len(pb2.workers) == min(os.cpu_count() or 1, len(pb2.run.trials))

    def test_every_member_reaches_its_budget(self, pb2: Population) -> None:
        assert pb2.run.folder.trials() == ["t00", "t01", "t02"]
        for trial in pb2.run.folder.trials():
            steps = [row.env_steps for row in pb2.run.folder.reports(trial)]
            assert steps == sorted(steps), "an exploit does not turn the clock back"
            assert 6_000 <= steps[-1] < 8_000
        assert all(trial["status"] == "TERMINATED" for trial in pb2.run.trials)

    def test_members_take_turns(self, pb2: Population) -> None:
        rows = [row for trial in pb2.run.folder.trials() for row in pb2.run.folder.reports(trial)]
        order = [row.trial for row in sorted(rows, key=lambda row: row.wall_seconds)]
        first_end = order.index("t00") + [i for i, t in enumerate(order) if t == "t00"][-1]
        assert set(order[:first_end]) == {"t00", "t01", "t02"}

    def test_applied_settings_are_the_decided_ones(self, pb2: Population) -> None:
        decisions = pb2.run.folder.decisions()
        assert {decision.kind for decision in decisions} == {"exploit", "restore"}
        for decision in decisions:
            assert decision.trial != decision.donor
            assert decision.effective == pytest.approx(decision.requested)
            rows = pb2.run.folder.reports(decision.trial)
            later = next(row for row in rows if row.env_steps > decision.env_steps)
            assert later.settings == pytest.approx(decision.requested)

    def test_all_steps_are_counted(self, pb2: Population) -> None:
        summary = pb2.run.summary
        rows = [pb2.run.folder.reports(trial["id"]) for trial in pb2.run.trials]
        for of_trial in rows:
            for before, after in itertools.pairwise(of_trial):
                # More than on the clock where a pause let running episodes end.
                assert after.env_steps - before.env_steps <= after.env_steps_this_iter
        clocks = sum(trial["env_steps"] for trial in pb2.run.trials)
        assert clocks == sum(of_trial[-1].env_steps for of_trial in rows)
        spent = sum(row.env_steps_this_iter for of_trial in rows for row in of_trial)
        assert summary["env_steps"] == spent >= clocks
        seconds = summary["wall_seconds"]
        assert summary["env_steps_per_second"] == pytest.approx(spent / seconds, rel=0.01)

    def test_the_score_is_on_fresh_seeds(self, pb2: Population) -> None:
        score = pb2.run.summary["evaluation"]
        assert score["episodes"] == len(set(score["seeds"])) == 25
        assert min(score["seeds"]) >= FIRST_EVALUATION_SEED
        assert score["ci95"][0] <= score["mean"] <= score["ci95"][1]
        assert pb2.run.summary["stop_reason"] == "steps"

    def test_the_best_is_chosen_on_its_own_record(self, pb2: Population) -> None:
        best = pb2.run.best
        folder = pb2.run.folder
        candidates = folder.checkpoints()[:CANDIDATES]
        assert len(candidates) > 1
        scores = []
        for checkpoint in candidates:
            policy = load_policy(folder.spec, folder, checkpoint)
            seeds = evaluation.selection_seeds(folder.spec.seed, 5)
            scores.append(sum(play(policy, folder.spec, seeds)) / len(seeds))
        assert best["selection_score"] == pytest.approx(max(scores))
        assert candidates[scores.index(max(scores))].parts[-3] == best["trial"]
        seen = [
            row.episode_reward_mean
            for row in pb2.run.folder.reports(best["trial"])
            if row.episode_reward_mean is not None
        ]
        assert any(best["score"] == pytest.approx(score) for score in seen)
        assert (pb2.path / best["checkpoint"] / "policy.pt").is_file()

    def test_evaluating_again_gives_the_same_score(self, pb2: Population) -> None:
        score = pb2.run.evaluate()
        assert score.to_dict()["mean"] == pb2.run.summary["evaluation"]["mean"]
        assert score.seeds != pb2.run.evaluate(episodes=10, seed=99).seeds

    def test_evaluating_prints_the_score_alone(self, pb2: Population, folder: Path) -> None:
        done = run_rltune(folder, "evaluate", "runs/pb2", "--episodes", "5")
        assert done.returncode == 0
        assert "over 5 episodes of CartPole-v1" in done.stdout + done.stderr
        assert "WARN" not in done.stdout + done.stderr

    def test_tensorboard_shows_metric_and_settings_over_environment_steps(
        self, pb2: Population
    ) -> None:
        for trial in pb2.run.folder.trials():
            rows = pb2.run.folder.reports(trial)
            events = EventAccumulator(str(pb2.path / "trials" / trial))
            events.Reload()
            points = events.Scalars("episode_reward_mean")
            scored = [row for row in rows if row.episode_reward_mean is not None]
            assert [point.step for point in points] == [row.env_steps for row in scored]
            assert [point.value for point in points] == pytest.approx(
                [row.episode_reward_mean for row in scored]
            )
            lengths = [point.value for point in events.Scalars("episode_len_mean")]
            assert lengths == pytest.approx([row.metrics["episode_len_mean"] for row in scored])
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

    @pytest.mark.fault(8)
    def test_a_resume_of_a_finished_run_changes_nothing(
        self, pb2: Population, folder: Path
    ) -> None:
        before = pb2.run.summary
        done = run_rltune(folder, "resume", "runs/pb2", "--json")
        assert loads(done.stdout) == before

    def test_run_json_was_written_whole(self, pb2: Population) -> None:
        spec = pb2.run.folder.spec
        assert (spec.algo, spec.env_id, spec.seed) == ("ppo", "CartPole-v1", 3)
        assert spec.budget.trials == 3
        assert spec.command[0] == "rltune"


@pytest.mark.parametrize(
    ("scheduler", "searcher"),
    # The others are driven over functions: tests/sweeps/test_every_scheduler.py.
    [
        ("pb2", "random"),
        pytest.param("pbt", "sobol", marks=pytest.mark.by_hand),
        pytest.param("asha", "tpe", marks=pytest.mark.by_hand),
        pytest.param("hyperband", "random", marks=pytest.mark.by_hand),
    ],
)
def test_every_scheduler_and_searcher_takes_every_kind_of_parameter(
    folder: Path, scheduler: str, searcher: str, cluster_address: str
) -> None:
    name = f"{scheduler}-{searcher}"
    taken = [*KINDS] if SEARCHERS[searcher].grids else [kind for kind in KINDS if kind != "grid"]
    searched = {setting: body for setting, body in OF_PPO.items() if body.keys() & set(taken)}
    bodies = [f"{setting}={written(body)}" for setting, body in searched.items()]
    space = [word for body in bodies for word in ("--space", body)]
    chosen = ("--scheduler", scheduler, "--searcher", searcher, "--concurrent", "1")
    more = ("--steps", "4000", *chosen, *space, "--json")
    done = run_short(folder, name, *more, cluster=cluster_address)
    summary = loads(done.stdout)
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 3
    assert summary["evaluation"]["episodes"] == 25
    run = RunFolder.open(folder / "runs" / name)
    assert {body.kind for body in run.spec.space.values()} == set(taken)
    kinds = {d.kind for d in run.decisions()}
    own = {"exploit" if row(scheduler).population else "stop"}
    assert kinds <= own | ({"restore"} if row(scheduler).pauses else set())
    for trial in run.trials():
        for report in run.reports(trial):
            assert run.spec.space.contains({**run.spec.settings, **report.settings})


@pytest.mark.parametrize(
    ("algo", "env"),
    # SAC's exploits: tests/algorithms/test_exploits.py, and those of a batch.
    [("dqn", "acrobot"), pytest.param("sac", "pendulum", marks=pytest.mark.by_hand)],
)
def test_an_off_policy_population_exploits(
    folder: Path, algo: str, env: str, cluster_address: str
) -> None:
    (folder / "brief.toml").write_text(
        "[budget]\nsteps = 2_400\ntrials = 3\nperturb_every = 800\ntarget = inf\n"
        "[evaluation]\nepisodes = 20\nselection_episodes = 5\n"
        "[settings]\nmin_sample_timesteps_per_iteration = 400\ntraining_intensity = 8.0\n"
        "num_steps_sampled_before_learning_starts = 200\n"
    )
    words = (algo, env, "--preset", "brief.toml", "--name", algo, "--concurrent", "1", "--json")
    done = run_rltune(folder, *words, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    assert "replay buffer takes" in done.stderr
    summary = loads(done.stdout)
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"] * 3
    assert summary["evaluation"]["episodes"] == 20
    for decision in RunFolder.open(folder / "runs" / algo).decisions():
        assert decision.effective == pytest.approx(decision.requested)
