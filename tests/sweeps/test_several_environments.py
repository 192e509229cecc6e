"""A sweep in several environments: real training, an exploit, a kill, and what is left."""

from __future__ import annotations

import json
import math
import signal
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from warm import Started, run_rltune

import rltune
from rltune.engine.metric_names import NORMALIZED
from rltune.errors import BadInput
from rltune.policies import evaluation
from rltune.reports.environments import rows
from rltune.request.replay import replay_spec
from rltune.runs.checkpoints import verify
from rltune.runs.folder import BEST, RunFolder
from rltune.runs.json_text import loads

pytestmark = pytest.mark.slow

WORDS = (
    *("ppo", "cartpole,acrobot", "--preset", "short.toml", "--name", "several"),
    *("--scheduler", "pbt", "--trials", "3", "--steps", "16000", "--perturb-every", "4000"),
    *(
        "--set",
        "num_envs_per_env_runner=8",
        "--set",
        "num_epochs=2",
        "--episodes",
        "6",
        "--selection-episodes",
        "2",
    ),
    *("--target", "inf"),
)


@pytest.fixture(scope="module")
def killed(folder: Path, cluster_address: str) -> tuple[RunFolder, bytes]:
    """A run that was killed after an exploit and resumed, and its request before the kill."""
    sweep = Started(folder, *WORDS, cluster=cluster_address)
    run = RunFolder(folder / "runs/several")
    while not run.decisions():
        assert sweep.is_running(), sweep.end()
        time.sleep(0.05)
    assert sweep.end(0).returncode == -signal.SIGKILL
    asked = (run.path / "run.json").read_bytes()
    assert run.summary is None
    done = run_rltune(folder, "resume", str(run.path), "--json")
    assert done.returncode == 0, done.stderr
    return RunFolder.open(run.path), asked


def test_a_killed_run_continues_with_its_trials_and_its_scale(
    killed: tuple[RunFolder, bytes],
) -> None:
    run, asked = killed
    assert (run.path / "run.json").read_bytes() == asked, "random scores are not measured again"
    summary = run.summary
    assert summary is not None
    assert [trial.status for trial in summary.trials] == ["TERMINATED"] * 3
    exploits = [one for one in run.decisions() if one.kind == "exploit"]
    assert exploits
    assert all(one.requested == one.effective for one in exploits)
    every = [row for name in run.trials() for row in run.reports(name) + run.discarded(name)]
    assert summary.env_steps == sum(row.env_steps_this_iter for row in every)
    for name in run.trials():
        reports = run.reports(name)
        steps = [row.env_steps for row in reports]
        assert steps == sorted(set(steps))
        assert steps[-1] >= 16_000
        assert all(math.isfinite(value) for row in reports for value in row.metrics.values())
        last = reports[-1].metrics
        parts = [last[f"{one.name}/{NORMALIZED}"] for one in run.spec.environments]
        assert last[NORMALIZED] == pytest.approx(sum(parts) / 2)
        verify(run.checkpoints_of(name)[-1], "ppo")


def test_the_score_is_of_both_policies_on_fresh_seeds(killed: tuple[RunFolder, bytes]) -> None:
    run, _ = killed
    summary = run.summary
    assert summary is not None
    found = summary.evaluation
    assert found is not None
    assert found.metric == NORMALIZED
    assert found.episodes == len(found.returns) == 6
    of_each = rows(run.spec, found)
    assert [one.name for one in of_each] == ["cartpole", "acrobot"]
    assert found.mean == pytest.approx(sum(one.normalized for one in of_each) / 2)
    for one, environment in zip(of_each, run.spec.environments, strict=True):
        assert one.normalized == pytest.approx(environment.normalized(one.mean))
        assert one.normalized_ci95[0] <= one.normalized <= one.normalized_ci95[1]
        assert (run.path / BEST / one.name / "policy.pt").is_file()
        alone = evaluation.evaluate(run.alone(environment))
        assert alone.mean == one.mean, "each policy plays by itself as it did beside the other"
    assert rltune.load(run.path).evaluate() == found
    assert [rival.role for rival in summary.rivals or []].count("runner-up") == 1


def test_curves_and_the_report_have_every_environment(killed: tuple[RunFolder, bytes]) -> None:
    run, _ = killed
    events = EventAccumulator(str(run.path / "trials/t00"))
    events.Reload()
    for tag in (NORMALIZED, f"acrobot/{NORMALIZED}", "cartpole/episode_reward_mean"):
        assert events.Scalars(tag)[-1].step == run.reports("t00")[-1].env_steps
    document = json.loads((run.path / "report.json").read_text())
    assert [row["name"] for row in document["environments"]] == ["cartpole", "acrobot"]
    page = (run.path / "report.html").read_text()
    assert "<h2>Environments</h2>" in page
    assert "rltune train ppo acrobot" in page


def test_other_commands_serve_one_environment_or_refuse(
    killed: tuple[RunFolder, bytes], folder: Path
) -> None:
    run, _ = killed
    path = str(run.path)
    told = run_rltune(folder, "play", path, "--video", "out.gif")
    assert told.returncode == 2
    assert "name one of them, --env cartpole" in told.stderr
    shown = run_rltune(folder, "play", path, "--env", "cartpole", "--video", "out.gif", "--json")
    assert loads(shown.stdout)["episodes"][0]["episode_return"] > 0
    scored = run_rltune(folder, "evaluate", path, "--episodes", "5")
    assert "acrobot" in scored.stdout
    with pytest.raises(BadInput, match="has several environments, and a replay trains in one"):
        replay_spec(run)
