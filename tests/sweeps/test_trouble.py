"""Trials that fail, die, diverge or report nothing: real Tune, a deterministic trainable."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import climbers
import deterministic
import pytest
import warm
from ray.tune.experiment import Trial

from rltune.errors import MachineError
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.sweeps.room import cpus_of_a_process
from rltune.sweeps.stall import StallWatch
from rltune.tasks.rl import RLTask

pytestmark = pytest.mark.slow


class Outcome:
    """A sweep of a trainable that makes trouble."""

    def __init__(
        self,
        storage: Path,
        address: str,
        scheduler: str,
        trainable: type,
        **options: Any,
    ) -> None:
        spec = deterministic.spec_of(
            storage, "a", scheduler, address, trainable=trainable, **options
        )
        process = warm.server().Process(target=deterministic.climb, args=(spec,))
        process.start()
        process.join(90)
        process.kill()
        self.folder = RunFolder.open(storage / "a")
        self.told = json.loads((storage / "a" / "outcome.json").read_text())

    def last_step(self, trial: str) -> int:
        return self.folder.reports(trial)[-1].env_steps


@pytest.fixture
def run(tmp_path: Path, cluster_address: str) -> Any:
    return lambda scheduler, trainable, **options: Outcome(
        tmp_path, cluster_address, scheduler, trainable, **options
    )


@pytest.mark.fault(11)
def test_a_killed_worker_continues_from_its_checkpoint_alone(run: Any) -> None:
    outcome = run("pbt", climbers.Killed)
    assert set(outcome.told["statuses"].values()) == {"TERMINATED"}
    (failure,) = outcome.folder.failures("t01")
    assert failure.tried_again is True
    assert "process died" in failure.error
    for name in outcome.folder.trials():
        steps = [row.env_steps for row in outcome.folder.reports(name)]
        assert steps == list(range(250, 6_001, 250)), "nothing is lost, nothing comes twice"
        assert outcome.folder.failures(name) == [failure] * (name == "t01")
    lost = outcome.folder.discarded("t01")
    assert [row.env_steps for row in lost] == [1_250, 1_500], "what came after the checkpoint"


@pytest.mark.fault(17)
def test_a_trial_that_always_fails_is_given_up_with_its_traceback(run: Any) -> None:
    outcome = run("fifo", climbers.Failing)
    statuses = outcome.told["statuses"]
    assert statuses.pop("t01") == "ERROR"
    assert set(statuses.values()) == {"TERMINATED"}
    failures = outcome.folder.failures("t01")
    assert [failure.tried_again for failure in failures] == [True, True, False]
    for failure in failures:
        words = "RuntimeError: the motor burnt out (env step 1500) (climbers.py:"
        assert failure.error.startswith(words)
        assert "in step" in failure.traceback
        assert (failure.env_id, failure.env_steps) == ("climbers:Failing", 1_500)


@pytest.mark.fault(17)
def test_repeated_failures_end_the_sweep(run: Any) -> None:
    outcome = run("fifo", climbers.AllFailing, trials=8, max_failures=0)
    assert outcome.told["reason"] == "failures"
    statuses = list(outcome.told["statuses"].values())
    assert statuses.count("ERROR") == 5
    assert len(statuses) < 8, "the last ones were never made"


@pytest.mark.fault(22, 23, 24)
@pytest.mark.parametrize("scheduler", ["pbt", "asha"])
def test_a_trial_that_diverges_is_stopped_or_overwritten(run: Any, scheduler: str) -> None:
    outcome = run(scheduler, climbers.Diverging)
    rows = outcome.folder.reports("t00")
    marked = [row for row in rows if row.diverged]
    assert [row.env_steps for row in marked] == [1_500]
    assert marked[0].episode_reward_mean is None
    if scheduler == "asha":
        assert rows[-1] == marked[0]
        assert outcome.folder.checkpoints()
        assert all("t00" not in path.parts for path in outcome.folder.checkpoints())
    else:
        rescues = [d for d in outcome.folder.decisions() if d.trial == "t00"]
        assert ("exploit", 1_500) in [(d.kind, d.env_steps) for d in rescues]
        assert outcome.last_step("t00") == 6_000
        assert outcome.folder.diverged("t00") is None


@pytest.mark.fault(43)
def test_a_metric_that_is_not_reported_is_named_with_those_that_are(run: Any) -> None:
    outcome = run("pbt", climbers.Nameless)
    assert "the trials report no 'episode_reward_mean'" in outcome.told["error"]
    assert "score" in outcome.told["error"]
    assert len(outcome.folder.reports("t00")) <= 2, "it ends after the first report"


@pytest.mark.fault(42)
def test_waiting_trials_are_reported_and_wait_a_limited_time(
    ray_session: None, tmp_path: Path
) -> None:
    spec = make_spec("ppo", "cartpole", storage=tmp_path, memory_per_trial="1GiB")
    waiting = [Trial("ppo", stub=True)]
    notices: list[str] = []
    idle = StallWatch(RLTask(spec), notices.append, patience=0.0)
    idle.look(waiting)
    idle.look(waiting)
    assert notices == ["waiting for 1 CPU, 1.0 GiB of memory to be free"]
    waiting[0].set_status(Trial.RUNNING)
    idle.look(waiting)
    waiting[0].set_status(Trial.PENDING)
    idle.look(waiting)
    assert len(notices) == 2
    huge = replace(spec, resources=replace(spec.resources, memory_per_trial=1 << 50))
    with pytest.raises(MachineError, match=r"memory_per_trial 1048576.0 GiB.*could ever start"):
        StallWatch(RLTask(huge), notices.append, patience=0.0).look(waiting)


def test_trials_with_several_cpus_do_not_use_them_all(ray_session: None, tmp_path: Path) -> None:
    """Small networks are several times slower on threads that wait for each other."""
    task = RLTask(make_spec("ppo", "cartpole", storage=tmp_path, concurrent=1))
    config = task.config((), cpus_of_a_process(task))
    assert config["num_cpus_for_main_process"] == 2.0
    assert config["threads"] == 1
