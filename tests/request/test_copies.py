"""``env_copies``: what a trial and a run may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from rltune.errors import BadInput
from rltune.policies.scoring import side_by_side
from rltune.processes import machine
from rltune.request.notes import notes
from rltune.request.resolve import make_request, make_spec
from rltune.runs.folder import RunFolder
from rltune.spec import JobSpec


@pytest.mark.fault(74)
def test_copies_of_a_preset_are_lowered_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = make_spec("ppo", "acrobot", storage=tmp_path, env_copies=3)
    # 3 divides no batch of 2,048 steps.
    assert spec.settings["num_envs_per_env_runner"] == 2
    assert (spec.copies_of_a_trial, spec.resources.concurrent) == (2, 1)
    assert spec.env_options.env_copies == 3
    assert "env_copies 3: num_envs_per_env_runner is 2 instead of the preset's" in caplog.text
    assert (
        "env_copies 3: 1 trials at a time, each with at most 2 copies of the environment"
        in notes(spec, JobSpec())
    )
    assert RunFolder.create(spec).spec == spec


@pytest.mark.fault(74)
def test_a_request_for_too_many_copies_is_refused_with_what_fits(tmp_path: Path) -> None:
    settings = {"num_envs_per_env_runner": 8, "train_batch_size": 2_000, "minibatch_size": 100}
    two = {**settings, "num_env_runners": 2}
    four = {**settings, "num_envs_per_env_runner": 1, "num_env_runners": 4}
    with pytest.raises(BadInput, match=r"`settings=\{'num_envs_per_env_runner': 4\}`$"):
        make_spec("ppo", "acrobot", storage=tmp_path, env_copies=4, settings=settings)
    with pytest.raises(
        BadInput, match=r"= 8 in each of 2 runners: `settings=\{'num_envs_per_env_runner': 2"
    ):
        make_spec("ppo", "acrobot", storage=tmp_path, env_copies=5, settings=two)
    with pytest.raises(
        BadInput, match=r"num_env_runners = 4 hold a copy each: `settings=\{'num_env_run"
    ):
        make_spec("ppo", "acrobot", storage=tmp_path, env_copies=3, settings=four)
    with pytest.raises(BadInput, match="env_copies must be at least 1, got 0"):
        make_spec("ppo", "acrobot", storage=tmp_path, env_copies=0)


@pytest.mark.fault(74)
@pytest.mark.parametrize(
    ("env_copies", "concurrent", "trials_at_a_time"),
    [(1, None, 1), (1, 2, 1), (2, 2, 2), (64, 2, 2), (64, None, None), (None, 2, 2)],
)
def test_concurrent_trials_share_the_copies(
    tmp_path: Path, env_copies: int | None, concurrent: int | None, trials_at_a_time: int | None
) -> None:
    one = {"num_envs_per_env_runner": 1}
    asked = {"env_copies": env_copies, "concurrent": concurrent, "settings": one}
    spec = make_spec("ppo", "acrobot", storage=tmp_path, **asked)
    assert spec.resources.concurrent == trials_at_a_time
    processes, copies = side_by_side(spec)
    assert copies >= 1
    assert env_copies is None or processes * copies <= env_copies


@pytest.mark.fault(74)
def test_one_large_trial_is_scored_within_its_copies(tmp_path: Path) -> None:
    """Where one trial takes all cores nothing is lowered, and policies play on each core."""
    settings = {"num_envs_per_env_runner": 1}
    cores = machine.cores().amount
    large = {"cpus_per_trial": cores, "env_copies": 1, "settings": settings}
    spec = make_spec("ppo", "acrobot", storage=tmp_path, **large)
    assert spec.resources.concurrent is None
    assert side_by_side(spec) == (1, 1)


@pytest.mark.fault(77)
def test_options_override_the_scoring_budget_of_a_preset(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[evaluation]\nepisodes = 30\n")
    preset = tmp_path / "own.toml"
    spec = make_spec("ppo", "acrobot", storage=tmp_path, preset=preset)
    assert (spec.evaluation.episodes, spec.evaluation.selection_episodes) == (30, 20)
    spec, _ = make_request(
        "ppo", "acrobot", storage=tmp_path, preset=preset, episodes=9, job="train"
    )
    assert (spec.evaluation.episodes, spec.evaluation.selection_episodes) == (9, 20)
    with pytest.raises(BadInput, match="selection_episodes must be at least 1, got 0"):
        make_spec("ppo", "acrobot", storage=tmp_path, selection_episodes=0)
    preset.write_text('[evaluation]\nepisode = 30\nselection_episodes = "few"\n\nepisodes = 0\n')
    with pytest.raises(BadInput) as refused:
        make_spec("ppo", "acrobot", storage=tmp_path, preset=preset)
    assert refused.value.problems == [
        f"{preset}:2: unknown evaluation 'episode'. Did you mean 'episodes'?",
        f"{preset}:3: evaluation selection_episodes: expected int, got 'few'",
        f"{preset}:5: episodes must be at least 1, got 0",
    ]


@pytest.mark.fault(77)
def test_scoring_costs_above_a_tenth_of_training_are_reported(tmp_path: Path) -> None:
    def told(**options: object) -> list[str]:
        asked = {"steps": 100_000, "trials": 4, **options}
        return notes(*make_request("ppo", "acrobot", storage=tmp_path, **asked))

    (note,) = told()
    assert note == (
        "scoring takes up to 100,000 environment steps, 200 episodes of up to 500; training takes "
        "400,000. Fewer with `episodes` (100) and `selection_episodes` (20)"
    )
    assert told(episodes=30, selection_episodes=10) == []
    assert told(steps=1_000_000) == []
    (note,) = told(job="train", env_args={"max_episode_steps": 200})
    assert "400,000 environment steps, 2,000 episodes of up to 200; training" in note
