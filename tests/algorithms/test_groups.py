"""Groups of members that train as one batch, on real environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from quick import GPUS

from rltune import algorithms
from rltune.algorithms.groups import make_group
from rltune.catalog.algorithms import ALGORITHMS
from rltune.engine.population.group import Group
from rltune.engine.population.ppo import PPO
from rltune.engine.population.sac import SAC
from rltune.engine.rollout import gae

DEVICE = torch.device("cuda" if GPUS else "cpu")
REPLAY = {
    "num_envs_per_env_runner": 4,
    "rollout_fragment_length": 2,
    "train_batch_size": 16,
    "training_intensity": 40.0,
    "num_steps_sampled_before_learning_starts": 8,
    "buffer_capacity": 80,
    "prioritized_replay": True,
    "prioritized_replay_alpha": 0.6,
    "prioritized_replay_beta": 0.4,
    "n_step": 2,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {
        "num_envs_per_env_runner": 4,
        "train_batch_size": 64,
        "minibatch_size": 32,
        "num_epochs": 10,
        "observation_filter": "MeanStdFilter",
        "normalize_rewards": True,
    },
    "dqn": REPLAY | {"epsilon_timesteps": 500, "final_epsilon": 0.1},
    "sac": REPLAY | {"noise_correlation": 0.5, "observation_filter": "MeanStdFilter"},
}
ENVS = {"ppo": ("cartpole", "pendulum"), "dqn": ("cartpole",), "sac": ("pendulum",)}
RATES = {"ppo": "lr", "dqn": "lr", "sac": "critic_lr"}
CASES = [(algo, env) for algo, of in ENVS.items() for env in of]


def _config(algo: str, env: str, seed: int, **changes: Any) -> Any:
    config = getattr(algorithms, algo.upper()).get_default_config()
    settings = {
        "env": env,
        "seed": seed,
        RATES[algo]: 1e-3 * (1 + seed % 3),
        "fcnet_hiddens": [16, 16],
        **SETTINGS[algo],
        **changes,
    }
    config.update_from_dict(settings)
    config.validate()
    return config


def _group(algo: str, env: str, seeds: Sequence[int], dtype: torch.dtype = torch.float32) -> Group:
    return make_group([_config(algo, env, seed) for seed in seeds], DEVICE, dtype)[0]


@pytest.mark.skipif(GPUS > 0, reason="float64 on a CPU")
@pytest.mark.parametrize(("algo", "env"), CASES)
@pytest.mark.parametrize(
    ("members", "rounds"), [(5, 25), pytest.param(64, 50, marks=pytest.mark.by_hand)]
)
def test_a_member_of_a_batch_is_the_member_alone(
    algo: str, env: str, members: int, rounds: int
) -> None:
    seeds = [3, 14, 15, 92, 65, *range(100, 159)][:members]
    batch = _group(algo, env, seeds, torch.float64)
    alone = _group(algo, env, seeds[2:3], torch.float64)
    for _ in range(rounds):  # of 20 updates each
        batch.round()
        alone.round()
    assert batch.env_steps[2] == alone.env_steps[0]
    for name, rows in alone.learner.tensors().items():
        torch.testing.assert_close(
            batch.learner.tensors()[name][2].double(), rows[0].double(), rtol=0, atol=1e-9, msg=name
        )
    assert batch.sampler.take_episodes()[2] == alone.sampler.take_episodes()[0]


@pytest.mark.parametrize(("algo", "env"), CASES)
def test_a_member_that_diverges_leaves_the_others_as_they_were(algo: str, env: str) -> None:
    whole, broken = (_group(algo, env, range(4)) for _ in range(2))
    for number in range(6):
        if number == 2:
            broken.learner.weights.flat[1, 0] = torch.nan
        if number == 4:
            broken.sampler.obs[2] = np.inf  # as if its environments had said so
            broken.sampler.diverged = {2: RuntimeError()}  # type: ignore[dict-item]
        whole.round()
        broken.round()
    assert set(broken.diverged()) == {1, 2}
    assert whole.diverged() == {}
    for name, rows in whole.learner.tensors().items():
        others = broken.learner.tensors()[name]
        assert torch.equal(rows[0], others[0]), name
        assert torch.equal(rows[3], others[3]), name
    kept = {name: rows.clone() for name, rows in broken.learner.tensors().items()}
    broken.round()
    for name, rows in broken.learner.tensors().items():
        if not name.startswith("streams"):
            torch.testing.assert_close(rows[1:3], kept[name][1:3], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(("algo", "env"), CASES)
def test_a_member_that_ends_its_episodes_leaves_the_others_as_they_were(
    algo: str, env: str
) -> None:
    whole, paused = (_group(algo, env, range(3)) for _ in range(2))
    for group in (whole, paused):
        group.train(1, [0, 1, 2])
    before, running = list(paused.windows[1].episodes), paused.sampler.running[1].copy()
    clock = paused.env_steps[1]
    paused._ended[1] = []  # an interval in which no episode has ended
    steps = paused.finish_episodes([1])[1]
    finished = [each for each in paused.windows[1].episodes if each not in before]
    assert len(finished) == (running > 0).sum()
    assert sum(episode.length for episode in finished) == steps + running.sum()
    assert paused.env_steps[1] == clock
    assert not paused.sampler.running[1].any()
    for _ in range(3):
        whole.round()
        paused.round()
    for name, rows in whole.learner.tensors().items():
        for other in (0, 2):
            assert torch.equal(rows[other], paused.learner.tensors()[name][other]), name
    assert whole.env_steps[[0, 2]].tolist() == paused.env_steps[[0, 2]].tolist()


@pytest.mark.parametrize(("algo", "env"), CASES)
def test_a_clone_has_its_donors_numbers_and_its_own_noise(algo: str, env: str) -> None:
    group = _group(algo, env, range(4))
    for _ in range(3):
        group.round()
    before = {name: rows.clone() for name, rows in group.learner.tensors().items()}
    group.learner.copy_members([3, 3], [0, 1])
    for name, rows in group.learner.tensors().items():
        donor = before[name][3]
        if name == "moved":  # its target network's interval counts from now on
            donor = torch.from_numpy(group.env_steps[3:4]).to(DEVICE)
        for clone in (0, 1):
            kept = before[name][clone] if name.startswith("streams") else donor
            assert torch.equal(rows[clone], kept), name
        assert torch.equal(rows[2:], before[name][2:]), name
    group.round()
    weights = group.learner.weights.flat
    assert not torch.equal(weights[0], weights[1])


@pytest.mark.parametrize(
    ("env", "env_args", "changes"),
    [
        ("endings:Ends", {"longest": 1}, {}),
        ("endings:Ends", {"longest": 5}, {"num_envs_per_env_runner": 3}),
        ("endings:Ends", {"shortest": 8, "longest": 8}, {"num_envs_per_env_runner": 8}),
        ("endings:Ends", {"image": True}, {"observation_filter": "NoFilter"}),
        ("endings:Ends", {"raises": 7, "longest": 4}, {"num_envs_per_env_runner": 8}),
        ("cartpole", {"max_episode_steps": 5}, {}),
    ],
)
def test_advantages_continue_from_the_last_observations_of_episodes(
    env: str, env_args: dict[str, Any], changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A GPU's convolutions are of three digits else, other ones for other numbers of rows.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    changes = {"num_epochs": 1, "normalize_rewards": False, **changes}
    config = _config("ppo", env, 3, env_config=env_args, **changes)
    group = make_group([config] * 2, DEVICE)[0]
    learner, sampler, rows = group.learner, group.sampler, []
    assert isinstance(learner, PPO)
    for _ in range(2):  # the second round has nothing of the first one
        group.write_hyperparameters()
        rows = []
        for t in range(learner.shape.steps):
            seen = [sampler.obs]
            sampler.step(learner.act(sampler.obs), group._outcomes[:, t])
            if sampler.last_obs is not None:
                learner.see_last(sampler.last_obs, group._outcomes[:, t])
            seen.append(sampler.obs if sampler.last_obs is None else sampler.last_obs)
            both = torch.as_tensor(np.concatenate(seen, 1)).to(DEVICE)
            with torch.no_grad():
                rows.append(learner._values(both).cpu().numpy())
        learner.learn(sampler.obs, group._outcomes, sampler.env_steps)
    now, following = np.split(np.stack(rows), 2, axis=-1)  # (T, M, E) each
    rewards, terminated, done, valid = group._outcomes
    if valid.all():
        assert sampler.within_step
        assert sampler.env_steps[0] == 2 * learner.shape.steps * learner.shape.copies
    else:
        assert env == "cartpole" or "raises" in env_args
    assert ((done > terminated) & (valid > 0)).any()
    # What raised is no experience, and ends the row before.
    done[:-1] = np.maximum(done[:-1], 1 - valid[1:])
    wanted = now + gae(
        rewards.reshape(len(now), -1),
        now.reshape(len(now), -1),
        following.reshape(len(now), -1),
        terminated.reshape(len(now), -1) > 0,
        done.reshape(len(now), -1) > 0,
        config.gamma,
        config.lambda_,
    ).reshape(now.shape)
    columns = learner._columns(learner._rows[:, :-1].cpu())
    for name, column in (("value_targets", wanted), ("valid", valid)):
        found = columns[name].reshape(2, *now.shape[::2]).transpose(0, 1).numpy()
        np.testing.assert_allclose(found[valid > 0], column[valid > 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(
    ("env_args", "copies", "prioritized"),
    [({"longest": 1}, 1, True), ({"longest": 6}, 3, False), ({"longest": 4, "raises": 9}, 2, True)],
)
def test_a_transition_leads_to_the_next_observation_of_its_episode(
    frames: int, env_args: dict[str, Any], copies: int, prioritized: bool
) -> None:
    config = _config(
        "sac",
        "endings:Ends",
        5,
        env_config={"continuous": True, **env_args},
        num_envs_per_env_runner=copies,
        rollout_fragment_length=4,
        prioritized_replay=prioritized,
        observation_filter="NoFilter",
        frame_stack=frames,
        n_step=3,
        buffer_capacity=120,
        training_intensity=0.5,
    )
    group = make_group([config] * 3, DEVICE)[0]
    learner = group.learner
    assert isinstance(learner, SAC)
    for number in range(40):
        group.round()
        if number % 10 == 3:
            group._ended[0] = []
            group.finish_episodes([0])
        if number % 10 == 7:
            group.restart(1, number, 0)
    replay, n_step = learner.replay, torch.full((3, 1), 3.0, device=DEVICE)
    places = torch.arange(replay.layout.rows * copies, device=DEVICE).expand(1, 3, -1)
    sums, discounts, after = replay.look_ahead(places, 4, n_step, torch.full_like(n_step, 0.9))
    valid = replay.valid(places)
    assert (valid.sum(-1) == replay.live.sum(-1)).all()
    before, following = (
        replay.read_obs(each)[valid].view(-1, frames, 3).double() for each in (places, after)
    )
    # Frames of the same episode, one step apart; the first one may be repeated.
    for seen in (before, following):
        torch.testing.assert_close(seen[:, :, 0], before[:, -1:, 0].expand(-1, frames))
        steps = (10 * seen[:, :, 1]).round()
        wanted = (steps[:, -1:] - torch.arange(frames - 1, -1, -1, device=DEVICE)).clamp(min=0)
        torch.testing.assert_close(steps, wanted)
    first, last = ((10 * each[:, -1, 1]).round() for each in (before, following))
    count = last - first
    assert int(count.min()) == 1
    assert int(count.max()) == min(3, env_args["longest"])
    own = [sum(0.9**k * (s + k) for k in range(int(n))) for s, n in zip(first, count, strict=True)]
    torch.testing.assert_close(sums[valid].double(), torch.tensor(own, device=DEVICE).double())
    ended = discounts[valid] == 0
    torch.testing.assert_close(discounts[valid].double()[~ended], 0.9 ** count[~ended])
    assert ended.any()


#: Another value of every setting of PPO that acts while it trains, by the environment it acts in.
OTHERS: dict[str, Any] = {
    "lr": 5e-4,
    "gamma": 0.9,
    "train_batch_size": 128,
    "grad_clip": 0.01,
    "num_envs_per_env_runner": 8,
    "fcnet_hiddens": [8],
    "fcnet_activation": "relu",
    "frame_stack": 2,
    "observation_filter": "NoFilter",
    "clip_rewards": 0.01,
    "lambda_": 0.5,
    "clip_param": 0.01,
    "entropy_coeff": 0.1,
    "noise_correlation": 0.5,
    "vf_loss_coeff": 0.1,
    "vf_clip_param": 0.01,
    "num_epochs": 3,
    "minibatch_size": 64,
    "use_kl_loss": False,
    "kl_coeff": 5.0,
    "kl_target": 1e-6,
    "normalize_rewards": False,
    "vf_share_layers": True,
}
#: Those that say what is reported, or where, and how observations are read and stepped.
ELSEWHERE = {
    "metrics_num_episodes_for_smoothing",
    "min_sample_timesteps_per_iteration",
    "num_env_runners",
    "observation_form",
}


def test_every_setting_of_ppo_is_tried() -> None:
    assert set(OTHERS) | ELSEWHERE == set(ALGORITHMS["ppo"].settings)


@pytest.mark.parametrize("name", OTHERS)
def test_every_setting_of_ppo_acts_in_a_batch(name: str) -> None:
    def trained(**changes: Any) -> torch.Tensor:
        config = _config("ppo", "pendulum", 3, **changes)
        group = make_group([config] * 2, DEVICE)[0]
        for _ in range(3):
            group.round()
        return group.learner.weights.flat[0]

    before, after = trained(), trained(**{name: OTHERS[name]})
    assert before.shape != after.shape or not torch.equal(before, after)
