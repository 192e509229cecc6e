"""Scores and their statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trained import trained

from rltune.policies.episodes import play
from rltune.policies.evaluation import evaluate, evaluation_seeds, selection_seeds, summarise
from rltune.request.resolve import make_spec
from rltune.searchers import build, starting_point
from rltune.searchers.history import History
from rltune.spec import (
    FIRST_EVALUATION_SEED,
    FIRST_FRESH_SEED,
    FIRST_SELECTION_SEED,
    MAX_TRIAL_SEED,
    JobSpec,
    moved_seed,
)
from rltune.sweeps.jobs import job_of


class Left:
    """Always pushes left: its return depends on the first state alone."""

    frame_stack = 1
    form = "auto"

    def act(self, obs: np.ndarray) -> np.ndarray:
        return np.zeros(len(obs), dtype=np.int64)


def test_iqm_leaves_out_the_outer_quarters() -> None:
    result = summarise([0.0, 10.0, 20.0, 30.0, 1000.0], [1, 2, 3, 4, 5])
    assert result.iqm == 20.0
    assert result.mean == 212.0
    assert result.ci95[0] <= result.mean <= result.ci95[1]


def test_the_interval_covers_the_mean_at_its_stated_rate() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = summarise(rng.normal(5.0, 2.0, 50).tolist(), range(50)).ci95
        covered += low <= 5.0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_equal_returns_give_an_interval_of_width_zero() -> None:
    result = summarise([500.0] * 100, range(100))
    assert (result.mean, result.iqm, result.ci95) == (500.0, 500.0, (500.0, 500.0))


def test_training_selection_and_evaluation_never_share_a_seed(tmp_path: object) -> None:
    spec = make_spec("dqn", "cartpole", storage=str(tmp_path), trials=50)
    seeds = evaluation_seeds(spec.seed, 100)
    assert len(set(seeds)) == 100
    assert min(seeds) >= FIRST_EVALUATION_SEED
    searcher = build(spec)
    training = [starting_point(spec, searcher, index, History())["seed"] for index in range(50)]
    # Environments count on from their trial's seed: far less than the gap between the ranges.
    assert max(training) < MAX_TRIAL_SEED < FIRST_FRESH_SEED
    job = job_of(spec, JobSpec("train"))
    fresh = [job.starting_point(index)["seed"] for index in range(50)]
    assert FIRST_FRESH_SEED <= min(fresh) < max(fresh) < FIRST_SELECTION_SEED - MAX_TRIAL_SEED
    # A restore moves a seed on within its range.
    for seed in (*training, *fresh):
        moved = moved_seed(seed, MAX_TRIAL_SEED - 1)
        assert (moved >= FIRST_FRESH_SEED) == (seed >= FIRST_FRESH_SEED)
        assert moved % FIRST_FRESH_SEED < MAX_TRIAL_SEED
    selection = selection_seeds(spec.seed, 20)
    assert FIRST_SELECTION_SEED <= min(selection) < max(selection) < FIRST_EVALUATION_SEED
    assert seeds != evaluation_seeds(spec.seed + 1, 100)
    assert not set(evaluation_seeds(0, 100, trial=0)) & set(evaluation_seeds(0, 100, trial=1))


def test_a_seed_fixes_its_episode_independent_of_the_others(tmp_path: object) -> None:
    spec = make_spec("dqn", "cartpole", storage=str(tmp_path))
    seeds = evaluation_seeds(0, 45)
    together = play(Left(), spec, seeds)
    alone = [play(Left(), spec, [seed])[0] for seed in seeds]
    assert together == alone
    assert len(set(together)) > 1


@pytest.mark.usefixtures("ray_session")
def test_a_process_that_ends_without_a_trace_is_retried(tmp_path: Path) -> None:
    done = tmp_path / "done"
    args = {"done": str(done)}
    run = trained(tmp_path, "ppo", "faulty:KilledScore", env_args=args, num_epochs=1)
    assert evaluate(run, 30).returns == [10.0] * 30
    assert done.exists(), "it was killed"


@pytest.mark.parametrize("episodes", [1, 3, 21])
def test_any_number_of_episodes_can_be_asked_for(tmp_path: object, episodes: int) -> None:
    spec = make_spec("dqn", "cartpole", storage=str(tmp_path))
    assert len(play(Left(), spec, evaluation_seeds(0, episodes))) == episodes
