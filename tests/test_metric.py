"""Any metric, either way: every comparison finds the better one."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import endures
import numpy as np
import pytest
from rich.console import Console
from schedulers.table import Table

from rltune.callbacks.base import SweepStarted, TrialReported
from rltune.cli.live import LineWatcher
from rltune.errors import BadInput
from rltune.metric import RETURN, Metric
from rltune.policies.episodes import play
from rltune.policies.evaluation import Candidate, evaluated, ranked
from rltune.policies.preset_file import preset_toml
from rltune.policies.scoring import Score
from rltune.request.resolve import make_spec
from rltune.runs import commands, lineage
from rltune.runs.folder import RunFolder
from rltune.runs.records import Report
from rltune.runs.summary_record import Evaluation, SeedOutcome
from rltune.schedulers import asha
from rltune.schedulers.base import Action, SchedulerContext
from rltune.spec import RunSpec
from rltune.sweeps.jobs.multi_seed import across, threshold
from rltune.sweeps.stopping import SweepStopper

COST = Metric("episode_info/cost", "min")


@pytest.fixture
def spec(tmp_path: Path) -> RunSpec:
    return make_spec(
        "ppo", "cartpole", metric=COST.name, mode=COST.mode, storage=tmp_path, name="a"
    )


def _row(trial: str, cost: float | None, at: int = 100, reward: float = 1.0) -> Report:
    metrics = {} if cost is None else {COST.name: cost}
    return Report(trial, at // 100, at, 100, 1.0, reward, {"lr": 1e-3}, metrics=metrics)


def test_scores_are_larger_where_better() -> None:
    assert RETURN.score_of({"episode_reward_mean": 3}) == 3.0
    assert COST.of({COST.name: 2}) == 2.0
    assert COST.score_of({COST.name: 2}) == -2.0
    assert COST.score_of({"episode_reward_mean": 3}) is None
    reached = [COST.reaches(value, 1.0) for value in (0.5, 1.0, 1.5, None)]
    assert reached == [True, True, False, False]
    assert not COST.reaches(0.0, None)
    assert not COST.reaches(0.0, math.inf), "inf is for never, in both modes"
    assert (RETURN.words, COST.words) == ("mean return", "mean cost")
    said = str(Metric("is_success").not_reported(["episode_info/is_success", "episode_len_mean"]))
    assert "'is_success'" in said
    assert "Did you mean 'episode_info/is_success'?" in said
    assert "They report: episode_info/is_success, episode_len_mean" in said


def test_a_request_keeps_its_metric_and_drops_a_target_in_returns(spec: RunSpec) -> None:
    assert make_spec("ppo", "cartpole").budget.target is not None
    assert spec.budget.target is None
    asked = make_spec("ppo", "cartpole", metric=COST.name, mode="min", target=0.25)
    assert asked.budget.target == 0.25
    assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))).goal == COST
    old = spec.to_dict()
    del old["metric"], old["mode"]
    assert RunSpec.from_dict(old).goal == RETURN
    assert threshold(spec) is None
    assert threshold(replace(spec, metric=RETURN.name, mode="max")) == 475.0
    changed = make_spec("ppo", "cartpole", env_args={"sutton_barto_reward": True})
    assert threshold(changed) is None, "its returns are -1 to 0"
    with pytest.raises(BadInput, match=r"Unknown mode 'maximum'. Did you mean 'max'\?"):
        make_spec("ppo", "cartpole", mode="maximum")


def test_a_learners_number_is_no_metric_to_tune_for() -> None:
    with pytest.raises(BadInput, match=r"^metric learner/entropy shows how training goes, not how"):
        make_spec("ppo", "cartpole", metric="learner/entropy")


def test_commands_that_continue_a_run_keep_its_metric(spec: RunSpec) -> None:
    asked = replace(spec, budget=replace(spec.budget, target=0.25))
    command = commands.with_preset(asked, "best.toml", train=True)
    assert command.endswith("--preset best.toml --metric episode_info/cost --mode min")
    written = preset_toml(asked, spec.settings, None)
    assert "\ntarget = " not in written, "another metric would read it as a return"
    assert "--metric episode_info/cost --mode min" in written.splitlines()[1]
    plain = replace(asked, metric=RETURN.name, mode="max")
    assert "\ntarget = 0.25" in preset_toml(plain, spec.settings, None)
    assert "--metric" not in commands.with_preset(plain, "best.toml")


def test_a_target_is_reached_from_its_own_side(spec: RunSpec) -> None:
    ending = SweepStopper(replace(spec.budget, target=0.25), COST, rescues=True)
    report = {"env_steps": 100, "episode_reward_mean": 1e9}
    assert not ending("t00", report)
    assert not ending("t00", report | {COST.name: 0.5})
    assert ending("t00", report | {COST.name: 0.2})


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_population_copies_the_better_member(mode: str) -> None:
    table = Table(lambda name, *_: float(name[1:]), mode=mode, seed=7)
    table.run()
    best = "t03" if mode == "max" else "t00"
    assert table.decisions
    assert {decision.donor for decision in table.decisions[:2]} == {best}


def test_asha_stops_the_worse_trials(spec: RunSpec) -> None:
    scheduler = asha.build(SchedulerContext(spec))
    first = {"env_steps": spec.budget.perturb_every, "episode_reward_mean": 0.0}
    costs = {"t00": 2.0, "t01": 3.0, "t02": 1.0}
    answers = {
        name: scheduler.reported(name, first | {COST.name: cost}, others_wait=True)
        for name, cost in costs.items()
    }
    assert answers == {"t00": Action.CONTINUE, "t01": Action.STOP, "t02": Action.CONTINUE}


def test_checkpoints_and_leaders_are_ordered_by_the_metric(spec: RunSpec) -> None:
    folder = RunFolder.create(spec)
    for trial, costs in {"t00": [3.0, 1.0], "t01": [0.5, 0.7], "t02": [], "t03": [9.0]}.items():
        path = folder.path / "trials" / trial / "checkpoints" / "a"
        path.mkdir(parents=True)
        infos = [{"cost": cost} for cost in costs] or [{}]
        returns = [100.0 * int(trial[1:])] * len(infos)
        record: dict[str, Any] = {"episode_returns": returns, "episode_infos": infos}
        record |= {"episode_lengths": [1] * len(infos), "window": 1, "env_steps": 10}
        (path / "record.json").write_text(json.dumps(record))
    order = [path.parts[-3] for path in folder.checkpoints()]
    assert order == ["t01", "t00", "t03", "t02"]
    equals = [Candidate(path, 10, Score(path, {1: 0.5})) for path in folder.checkpoints()]
    assert ranked(folder, equals)[0].checkpoint.parts[-3] == "t01"
    cheaper = replace(equals[-1], played=Score(equals[-1].checkpoint, {1: 0.4}))
    assert ranked(folder, [*equals, cheaper])[0] == cheaper
    for trial, cost in {"t00": 2.0, "t01": 0.1, "t02": None}.items():
        folder.append_report(_row(trial, cost))
    assert lineage.early_leader(folder) == "t01"


def test_an_episode_is_scored_by_the_number_in_its_last_info(tmp_path: Path) -> None:
    class Waits:
        frame_stack, form = 1, "auto"

        def act(self, obs: np.ndarray) -> np.ndarray:
            return np.zeros(len(obs), int)

    args = {"shortest": 3, "longest": 30}
    spec = make_spec("ppo", endures.Endures, env_args=args, storage=tmp_path)
    returns = play(Waits(), spec, [1, 2, 3])
    by_info = replace(spec, metric="episode_info/length", mode="min")
    assert play(Waits(), by_info, [1, 2, 3]) == returns
    assert play(Waits(), replace(spec, metric="episode_len_mean"), [1, 2, 3]) == returns
    assert np.isnan(play(Waits(), replace(spec, metric="episode_info/gone"), [1])).all()
    found = evaluated(Score(tmp_path, {7: 2.0, 8: math.nan, 9: 4.0}), [7, 8, 9], COST.name)
    assert found is not None
    assert (found.mean, found.episodes, found.seeds, found.metric) == (3.0, 2, [7, 9], COST.name)


def test_statistics_over_seeds_know_which_way_is_better(spec: RunSpec) -> None:
    seed = SeedOutcome(
        trial="t00",
        score=3.0,
        selection_score=2.0,
        checkpoint="",
        evaluation=Evaluation(3.0, 3.0, (3.0, 3.0), 5, [], []),
        env_steps_to_threshold=None,
        env_steps=1,
        train_seconds=1.0,
    )
    found = across(spec, [seed, seed])
    assert found.optimism_gap == 1.0, "a lower cost was promised"
    assert found.share_over_threshold is None


def test_the_terminal_shows_the_metric(spec: RunSpec) -> None:
    screen = io.StringIO()
    watch = LineWatcher(Console(file=screen, width=200))
    watch.on_event(SweepStarted(spec, RunFolder.create(spec)))
    for row in (
        _row("t00", 2.0),
        _row("t01", 0.5, reward=-9.0),
        _row("t02", None, reward=math.inf),
    ):
        watch.on_event(TrialReported(row))
    watch.print_line()
    assert "best 0.5 by t01" in screen.getvalue()
