"""Ids that no family lists, missing packages, and environments of a user's own."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import own
import pytest
from conftest import ROOT, import_path
from conftest import run_rltune as run_plainly
from warm import run_rltune

import rltune
from rltune import catalog, envs
from rltune.catalog import probe
from rltune.catalog.algorithms import ALGORITHMS, algorithm
from rltune.errors import BadInput
from rltune.request import preflight


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("lunarlander", "Box2D", "box2d"),
        ("Hopper-v5", "mujoco", "mujoco"),
        ("pong", "ale_py", "atari"),
        ("ALE/Zaxxon-v5", "ale_py", "atari"),
        ("MiniGrid-Unlock-v0", "minigrid", "minigrid"),
        ("minigrid:MiniGrid-Unlock-v0", "minigrid", "minigrid"),
    ],
)
def test_a_missing_package_is_named_with_its_command(
    name: str, package: str, extra: str, tmp_path: Path
) -> None:
    gone = f"raise ModuleNotFoundError({f'No module named {package}'!r}, name={package!r})\n"
    (tmp_path / f"{package}.py").write_text(gone)
    paths = {"PYTHONPATH": import_path(tmp_path, ROOT)}
    done = run_plainly(tmp_path, "ppo", name, "--dry-run", variables=paths)
    assert done.returncode == 2, done.stderr
    said = " ".join(done.stderr.split())
    assert f"pip install 'rltune[{extra}]'" in said
    assert "gymnasium[" not in said, "gymnasium's own advice"
    assert "Traceback" not in done.stderr


def test_the_list_needs_no_package(tmp_path: Path) -> None:
    for package in ("Box2D", "mujoco", "ale_py", "minigrid", "cv2", "pygame"):
        (tmp_path / f"{package}.py").write_text("raise ModuleNotFoundError\n")
    paths = {"PYTHONPATH": import_path(tmp_path, ROOT)}
    done = run_plainly(tmp_path, "list", "environments", "--json", variables=paths)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in envs.INFOS)


def test_every_extra_can_be_installed() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for spec in envs.INFOS.values():
        assert spec.extra is None or f"\n{spec.extra} = [" in text


def test_an_unlisted_id_belongs_to_its_family() -> None:
    spec = catalog.environment("ALE/Zaxxon-v5")
    assert (spec.family, spec.extra, spec.images) == ("atari", "atari", True)
    assert catalog.environment("ale_py:ALE/Zaxxon-v5") == spec
    assert catalog.preset("ppo", spec).settings["clip_rewards"] is True
    env = envs.make("ALE/Zaxxon-v5")
    assert env.observation_space.shape == (84, 84, 1)
    assert env.spec.max_episode_steps == spec.max_episode_steps
    env.close()
    spec = catalog.environment("MiniGrid-Unlock-v0")
    assert (spec.family, spec.extra, spec.threshold) == ("minigrid", "minigrid", None)
    assert envs.make(spec.id).observation_space.shape == (984,)


def test_a_wrong_name_in_a_family_suggests_the_nearest() -> None:
    with pytest.raises(BadInput, match="Did you mean 'ALE/Zaxxon-v5'"):
        catalog.environment("ALE/Zaxxonn-v5")
    with pytest.raises(BadInput, match="Did you mean 'MiniGrid-Unlock-v0'"):
        catalog.environment("MiniGrid-Unlok-v0")


def test_arguments_of_atari_reach_the_game() -> None:
    game = envs.make("pong", {"repeat_action_probability": 0.25, "frameskip": 2, "difficulty": 1})
    assert game.unwrapped.ale.getFloat("repeat_action_probability") == 0.25
    assert game.spec.max_episode_steps == 54_000
    game.reset(seed=0)
    before = game.unwrapped.ale.getEpisodeFrameNumber()
    game.step(0)
    assert game.unwrapped.ale.getEpisodeFrameNumber() == before + 2
    game.close()


def test_a_view_of_minigrid_is_one_hot() -> None:
    env = envs.make("minigrid-doorkey")
    obs, _ = env.reset(seed=0)
    image = env.unwrapped.gen_obs()["image"]
    assert set(np.unique(obs)) == {0, 1}
    objects, colours, states, direction = np.split(obs > 0, 49 * np.cumsum([11, 6, 3]))
    for kind, part in enumerate((objects, colours, states)):
        cells = part.reshape(49, -1)
        np.testing.assert_array_equal(cells.argmax(1), image[..., kind].ravel())
        assert (cells.sum(1) == 1).all()
    assert np.flatnonzero(direction) == [env.unwrapped.agent_dir]
    env.close()


# An environment of a user's own --------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (own.Endless, "own:Endless"),
        ("own:Endless", "own:Endless"),
        (own.Endless.Within, "own:Endless.Within"),
        ("own:Endless.Within", "own:Endless.Within"),
    ],
)
def test_a_class_is_an_environment(given: Any, name: str) -> None:
    spec = catalog.environment(given)
    assert (spec.id, spec.name, spec.images) == (name, name, None)
    env = envs.make(spec.id)
    assert type(env.unwrapped).__qualname__ == name.partition(":")[2]
    env.close()


def test_arguments_reach_its_constructor_and_its_time_limit() -> None:
    env = envs.make("own:Endless", {"start": 0.5, "max_episode_steps": 2})
    obs, _ = env.reset(seed=0)
    np.testing.assert_array_equal(obs, [0.5] * 4)  # a table is flat
    assert [env.step(np.zeros(1))[3] for _ in range(2)] == [False, True]
    env.close()


def test_an_endless_environment_gets_a_time_limit() -> None:
    env = envs.make("own:Endless")
    assert catalog.environment("own:Endless").max_episode_steps == envs.MAX_EPISODE_STEPS
    env.reset(seed=0)
    cuts = [env.step(np.zeros(1))[3] for _ in range(envs.MAX_EPISODE_STEPS)]
    assert cuts[-1]
    assert not any(cuts[:-1])
    env.close()


@pytest.mark.parametrize("asked", [20, envs.MAX_EPISODE_STEPS + 5])
def test_an_environment_that_takes_the_limit_itself_keeps_it(asked: int) -> None:
    """It ends its own episodes, here with the step after the limit."""
    env = envs.make("own:Limits", {"max_episode_steps": asked})
    env.reset(seed=0)
    ends = [env.step(np.zeros(1))[2:4] for _ in range(asked + 1)]
    assert not any(terminated or truncated for terminated, truncated in ends[:-1])
    assert ends[-1][0]
    env.close()


def test_no_limit_is_the_same_limit_for_all_copies() -> None:
    """``-1`` of gymnasium.make; a vectorised CartPole cut every episode after one step."""
    for copies in (3, 8):
        for made in (envs.make_vec, partial(envs.make_batch, members=1)):
            env = made("cartpole", num_envs=copies, env_args={"max_episode_steps": -1})
            env.reset(seed=0)
            assert not env.step(np.zeros(copies, int))[3].any()
            env.close()


class Counts(gym.vector.VectorEnv):  # type: ignore[misc]
    """Counts its steps in arrays that it returns again and again."""

    def __init__(self, num_envs: int = 1, **_: Any) -> None:
        self.num_envs = num_envs
        self.single_observation_space = gym.spaces.Box(0.0, 99.0, (1,), np.float32)
        self.single_action_space = gym.spaces.Discrete(2)
        self.observation_space = gym.vector.utils.batch_space(
            self.single_observation_space, num_envs
        )
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self.metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}
        self.seen = np.zeros((num_envs, 1), np.float32)
        self.numbers = np.zeros(num_envs)
        self.never = np.zeros(num_envs, bool)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.seen[:] = 0
        return self.seen, {}

    def step(self, actions: Any) -> Any:
        self.seen += 1
        self.numbers[:] = self.seen[:, 0]
        return self.seen, self.numbers, self.never, self.never, {}


def test_arrays_that_a_users_environment_writes_to_again_are_copied() -> None:
    gym.register(
        "Counts-v0", "own:Endless", vector_entry_point=f"{__name__}:Counts", max_episode_steps=50
    )
    env = envs.make_vec("Counts-v0", 4)
    kept = [env.reset(seed=0)[0], *(env.step(np.zeros(4, int)) for _ in range(3))]
    assert kept[0].max() == 0
    assert [float(step[0].max()) for step in kept[1:]] == [1, 2, 3]
    assert [float(step[1].max()) for step in kept[1:]] == [1, 2, 3]


def test_discrete_observations_become_one_hot_vectors() -> None:
    env = envs.make("own:Kinds")
    obs, _ = env.reset(seed=0)
    np.testing.assert_array_equal(obs, [0, 0, 1, 0, 1, 0, 0])
    assert envs.make("frozenlake").reset(seed=0)[0].sum() == 1
    env.close()


def test_a_missing_class_suggests_the_nearest() -> None:
    with pytest.raises(BadInput, match="Did you mean 'own:Endless'"):
        catalog.environment("own:Endles")
    with pytest.raises(BadInput, match="No module named 'nowhere'"):
        catalog.environment("nowhere:Endless")
    with pytest.raises(BadInput, match="must subclass gymnasium"):
        catalog.environment(dict)


def test_a_class_that_workers_cannot_import_is_refused(tmp_path: Path) -> None:
    class Local(own.Kinds):
        """Of a function."""

    with pytest.raises(
        BadInput, match=r"workers cannot import.*move it to the top level of a module"
    ):
        rltune.sweep("dqn", Local)


def test_observations_choose_the_preset() -> None:
    seen = catalog.preset("dqn", catalog.environment("own:Endless.Within"))
    assert seen.settings["frame_stack"] == 4
    assert seen.sources["fcnet_hiddens"] == "presets/dqn/pixels.toml"
    flat = catalog.preset("sac", catalog.environment("own:Endless"))
    assert "pixels" not in "".join(flat.sources.values())
    assert catalog.preset("ppo", catalog.environment("Blackjack-v1")).settings["frame_stack"] == 1
    # A family's preset is not for an environment of the same name.
    assert not probe.has_images(envs.EnvInfo("Nowhere-v0", "Nowhere-v0", images=None))


@pytest.mark.parametrize("given", ["own:Endless", "own:Endless.Within"])
def test_actions_choose_the_algorithms(given: str) -> None:
    spec = catalog.environment(given)
    kind = type(envs.make(given).action_space).__name__.lower()
    for algo in ALGORITHMS:
        if kind in algorithm(algo).actions:
            preflight.check_environment(spec, algorithm(algo), {})
        else:
            with pytest.raises(BadInput, match="cannot act in"):
                preflight.check_environment(spec, algorithm(algo), {})


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_sweep_runs_on_a_users_class(tmp_path: Path) -> None:
    quick: dict[str, Any] = {"steps": 600, "trials": 1, "storage": tmp_path, "scheduler": "fifo"}
    settings = {"train_batch_size": 200, "minibatch_size": 50}
    run = rltune.sweep(
        "ppo", own.Endless, env_args={"max_episode_steps": 20}, settings=settings, **quick
    )
    assert {trial["status"] for trial in run.trials} == {"TERMINATED"}
    assert run.folder.spec.env_id == "own:Endless"
    assert rltune.load(run.path).evaluate(episodes=2).mean < 0
    assert isinstance(own.Endless.observation_space, gym.spaces.Box)


@pytest.mark.slow
def test_the_command_line_accepts_a_class_of_a_local_file(
    tmp_path: Path, cluster_address: str
) -> None:
    (tmp_path / "mine.py").write_text((Path(own.__file__)).read_text())
    words = "--steps 400 --trials 1 --scheduler fifo --set num_envs_per_env_runner=2".split()
    more = "--set train_batch_size=100 --set minibatch_size=50 --env-arg max_episode_steps=20"
    words += [*more.split(), "--quiet"]
    done = run_rltune(tmp_path, "ppo", "mine:Endless", *words, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    again = run_rltune(tmp_path, "ppo", "mine:Endles", "--dry-run")
    assert "Did you mean 'mine:Endless'" in " ".join(again.stderr.split())
