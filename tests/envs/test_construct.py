"""Environments arrive as their author meant them: arguments, conventions, factories (72, 73)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import shapes
from rltune.envs.construct import EnvConfig

from rltune import envs
from rltune.errors import BadInput

FILE = Path(shapes.__file__)


def episode(name: Any, **env_args: Any) -> tuple[int, float]:
    """Steps and return of one episode."""
    env = envs.make(name, env_args)
    env.reset(seed=0)
    steps, total, over = 0, 0.0, False
    while not over:
        _, reward, terminated, truncated, _ = env.step(0)
        steps, total, over = steps + 1, total + float(reward), terminated or truncated
    env.close()
    return steps, round(total, 6)


@pytest.fixture(params=["class", "id", "file"])
def given(request: pytest.FixtureRequest) -> Any:
    """Names a class of shapes.py as a class, as a registered id, or by its file."""

    def name(kind: type[gym.Env[Any, Any]]) -> str:
        if request.param == "id":
            env_id = f"Given{kind.__name__}-v0"
            if env_id not in gym.registry:
                gym.register(env_id, entry_point=f"shapes:{kind.__name__}")
                made.append(env_id)
            return env_id
        return f"{'shapes' if request.param == 'class' else FILE}:{kind.__name__}"

    made: list[str] = []
    yield name
    for each in made:
        gym.registry.pop(each, None)


@pytest.mark.fault(72)
def test_a_constructor_gets_the_gymnasium_arguments_that_it_accepts(given: Any) -> None:
    assert episode(given(shapes.Maze), max_episode_steps=20) == (20, 10.2)
    assert episode(given(shapes.Strict), max_episode_steps=20) == (20, 10.2)
    env = envs.make(given(shapes.Maze), {"disable_env_checker": "gently"})
    assert env.unwrapped.checker == "gently"  # type: ignore[attr-defined]


@pytest.mark.fault(72)
def test_gymnasium_gets_the_arguments_that_the_constructor_lacks(given: Any) -> None:
    assert episode(given(shapes.Plain), max_episode_steps=4) == (4, 4.0)
    assert episode(given(shapes.Loose), max_episode_steps=4) == (4, 4.0)
    checked = "PassiveEnvChecker"
    assert checked not in str(envs.make(given(shapes.Plain), {"disable_env_checker": True}))
    assert checked in str(envs.make(given(shapes.Plain)))


@pytest.mark.fault(72)
def test_a_registered_step_limit_is_kept_beside_the_constructors_own() -> None:
    gym.register("Short-v0", entry_point="shapes:Maze", max_episode_steps=7)
    try:
        assert episode("Short-v0", max_episode_steps=20)[0] == 7
        assert episode("Short-v0", max_episode_steps=5) == (5, 10.05)
    finally:
        gym.registry.pop("Short-v0")


@pytest.mark.fault(73)
def test_an_environment_with_one_config_argument_gets_a_dict(given: Any) -> None:
    assert episode(given(shapes.Rllib), length=7) == (7, 7.0)
    assert episode(given(shapes.Needs), length=7) == (7, 7.0)
    assert episode(given(shapes.Needs)) == (10, 10.0)
    assert episode(given(shapes.Needs), length=7, max_episode_steps=4) == (4, 4.0)
    assert episode(given(shapes.Needs), env_config=EnvConfig(length=3)) == (3, 3.0)


@pytest.mark.fault(73)
def test_parameters_beside_a_config_get_their_own_arguments(given: Any) -> None:
    env = envs.make(given(shapes.Drawn), {"length": 7, "render_mode": "rgb_array"})
    assert (env.unwrapped.length, env.render_mode) == (7, "rgb_array")  # type: ignore[attr-defined]
    env = envs.make(given(shapes.Rllib), {"length": 7, "render_mode": "rgb_array"})
    assert env.render_mode == "rgb_array"


@pytest.mark.fault(73)
def test_an_ordinary_argument_may_be_called_config(given: Any) -> None:
    env = envs.make(given(shapes.NoConfig), {"length": 4}).unwrapped
    assert (env.config, env.length) == ("default.yaml", 4)  # type: ignore[attr-defined]
    assert envs.make(given(shapes.Rllib)).unwrapped.config is None  # type: ignore[attr-defined]


@pytest.mark.fault(73)
@pytest.mark.parametrize("place", ["shapes", str(FILE)])
def test_a_function_that_returns_an_environment_is_accepted(place: str) -> None:
    assert episode(f"{place}:factory") == (5, 5.0)
    assert episode(f"{place}:factory", length=6) == (6, 6.0)
    assert episode(f"{place}:factory", limit=3) == (3, 3.0)  # its own wrapper
    assert episode(f"{place}:factory", max_episode_steps=2) == (2, 2.0)
    with pytest.raises(TypeError, match="must inherit from the gymnasium"):
        envs.make(f"{place}:nothing")


class Picky(gym.Env):  # type: ignore[type-arg]
    """Does not like what it is given."""

    def __init__(self, size: object) -> None:
        raise TypeError(f"size must be a number, not {type(size).__name__}")


def test_an_environment_raises_its_own_error() -> None:
    with pytest.raises(TypeError, match=r"^size must be a number, not str$"):
        envs.construct(Picky, {"size": "hunter2"})


@pytest.mark.fault(95)
def test_an_unknown_argument_is_named_without_its_value() -> None:
    with pytest.raises(BadInput, match=r"^Strict takes no argument 'password'") as refused:
        envs.make("shapes:Strict", {"max_episode_steps": 3, "password": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_a_file_is_loaded_once_under_its_own_module_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "beside.py").write_text(f"WHERE = {folder!r}\n")
        (tmp_path / folder / "shapes.py").write_text(f"WHERE = {folder!r}\n")
    loaded = [envs.places.load(f"{tmp_path}/{folder}/shapes.py") for folder in ("a", "b", "a")]
    assert [module.WHERE for module in loaded] == ["a", "b", "a"]
    assert loaded[0] is loaded[2]
    assert envs.places.load("shapes") is shapes


def test_a_file_of_a_package_may_import_its_neighbours(tmp_path: Path) -> None:
    package = tmp_path / "packed_envs"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "size.py").write_text("SIZE = 6\n")
    (package / "own.py").write_text("from packed_envs.size import SIZE\nfrom . import size\n")
    assert envs.places.find(f"{package}/own.py:size.SIZE") == 6


@pytest.mark.fault(73)
@pytest.mark.parametrize(
    "start", ["rltune.sweep(1, 2", "from rltune.api import train; train(1, 2", "again(1"]
)
def test_a_script_is_loaded_up_to_its_first_call_of_rltune(start: str, tmp_path: Path) -> None:
    script = tmp_path / "starting.py"
    before = "import rltune\nfrom rltune import replay as again\nBEFORE = 1\n"
    script.write_text(f"{before}{start})\nAFTER = 1\n")
    module = envs.places.load(str(script))
    sys.modules.pop("starting")
    assert (module.BEFORE, hasattr(module, "AFTER")) == (1, False)
    assert not envs.places.is_loading()
