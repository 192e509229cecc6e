"""What a user names is found without trusting it, where workers find it, too (73, 96)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import gymnasium as gym
import odd_spaces  # noqa: F401  it registers ids
import pytest
import shapes
from conftest import ROOT, Cli, import_path, run_python, run_rltune

from rltune import catalog, envs
from rltune.algorithms import env_creator
from rltune.catalog import environments
from rltune.catalog.environments import check_there
from rltune.errors import BadInput
from rltune.request import secrets
from rltune.request.notes import notes
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.spec import JobSpec

PATHS = {"PYTHONPATH": import_path(ROOT, ROOT / "tests")}


def refused(name: object, imports: tuple[str, ...] = ()) -> str:
    with pytest.raises(BadInput) as error:
        catalog.environment(name, imports)  # type: ignore[arg-type]
    return str(error.value)


@pytest.mark.fault(96)
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nraise ValueError('no licence')", "ValueError: no licence ({file}:2)"),
        ("import sys\nsys.exit(3)", "{file}"),
        ("import os\nos._exit(3)", "with exit code 3"),
        ("import ctypes\nctypes.string_at(0)", '"{file}", line 2, in <module>'),
        ("def f(:\n    pass", "SyntaxError: invalid syntax ({file}:1)"),
        ("import no_such_package", "No module named 'no_such_package' ({file}:1)"),
        ("import time\ntime.sleep(100)", "no answer for 1 s (in <module>, {file}:2)"),
    ],
    ids=["raises", "sys.exit", "os._exit", "crashes", "syntax", "imports", "hangs"],
)
@pytest.mark.parametrize("way", ["file", "import"])
def test_a_module_that_cannot_be_imported_is_refused_with_its_error(
    code: str, message: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "ENV_TIMEOUT", 1.0)
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "failing_envs.py"
    file.write_text(code)
    said = refused(f"{file}:Mine") if way == "file" else refused("Mine-v0", ("failing_envs",))
    assert message.format(file=file) in said
    assert "failing_envs" in said
    assert "failing_envs" not in sys.modules


@pytest.mark.fault(96)
def test_the_command_line_reports_a_failed_import_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import gymnasium\nraise RuntimeError('no display')\n")
    for name, words in {
        "broken.py:Mine": ["broken.py:Mine", "RuntimeError: no display", "broken.py:2"],
        "gone:Mine": ["No module named 'gone'", "PYTHONPATH", "path/to/gone.py:Mine"],
        "gone.py:Mine": ["there is no file", "gone.py"],
        "broken.py": ["name what the file holds as well: broken.py:MyEnv"],
    }.items():
        done = run_rltune(tmp_path, "ppo", name, "--dry-run")
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.fault(95)
def test_a_wrong_name_in_a_file_suggests_the_nearest() -> None:
    assert "Did you mean" in refused("shapes:Maz")
    assert "/shapes.py:Maze'" in refused(f"{shapes.__file__}:Maz")
    assert "np is module" in refused("shapes:np")


@pytest.mark.fault(96)
def test_a_run_whose_module_is_elsewhere_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "there" / "elsewhere_envs.py"
    file.parent.mkdir()
    file.write_text(Path(shapes.__file__).read_text())
    spec = make_spec("ppo", f"{file}:Plain", storage=tmp_path, name="a")
    RunFolder.create(spec).lock.release()
    check_there(spec, "a")
    file.rename(tmp_path / "elsewhere_envs.py")
    sys.modules.pop("elsewhere_envs", None)
    with pytest.raises(BadInput, match=f"runs/a: .*there is no file {file}. Put it back there"):
        check_there(spec, "runs/a")
    done = run_rltune(tmp_path, "resume", "a", variables=PATHS)
    assert done.returncode == 2
    assert f"there is no file {file}" in done.stderr
    assert f"The run was started in {Path.cwd()}: run this there, or with PYTH" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_relative_path_works_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "near_envs.py").write_text(Path(shapes.__file__).read_text())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registering.py").write_text(
        "import gymnasium as gym\nimport near_envs\ngym.register('Near-v0', near_envs.Plain)\n"
    )
    spec = make_spec("ppo", "Near-v0", imports=["registering.py"], storage=tmp_path)
    assert spec.env_id == f"{tmp_path}/registering.py:Near-v0"
    assert spec.env_options.imports == (f"{tmp_path}/registering.py",)
    spec = catalog.environment("near_envs.py:Maze")
    assert (spec.id, spec.name) == (f"{tmp_path}/near_envs.py:Maze", "near_envs.py:Maze")
    assert catalog.environment("./near_envs.py:Maze").id == spec.id


@pytest.mark.fault(73)
def test_classes_and_functions_are_passed_as_they_are() -> None:
    assert catalog.environment(shapes.Maze).id == "shapes:Maze"
    assert catalog.environment(shapes.factory).id == "shapes:factory"
    assert "a lambda cannot be kept" in refused(lambda: shapes.Plain())
    assert "not an instance" in refused(shapes.Plain())

    class Local(shapes.Plain):
        """Of a function."""

    assert "move it to the top level of a module" in refused(Local)


@pytest.mark.fault(73)
def test_an_id_that_a_module_registers_is_found_by_that_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registers_envs.py").write_text(
        "import gymnasium as gym, shapes\ngym.register('Registered-v0', shapes.Plain)\n"
        "class Own(shapes.Plain):\n    pass\n"
        "gym.register('RegisteredOwn-v0', Own, reward_threshold=3.0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import registers_envs  # noqa: F401  # type: ignore[import-not-found]

    found = catalog.environment("RegisteredOwn-v0")
    assert (found.id, found.threshold) == ("registers_envs:RegisteredOwn-v0", 3.0)
    # Its class is of another module, which does not register it.
    assert "gymnasium.register at the top level" in refused("Registered-v0")
    found = catalog.environment("Registered-v0", ("registers_envs",))
    assert found.id == "registers_envs:Registered-v0"
    for env_id in ("Registered-v0", "RegisteredOwn-v0"):
        gym.registry.pop(env_id)


SECOND = """\
import gymnasium as gym
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
class Mine(CartPoleEnv):
    pass
gym.register("CartPole-v1", Mine, max_episode_steps=50, reward_threshold=40.0)
kwargs = {"id": "Pendulum-v1", "entry_point": "gymnasium.envs.classic_control:PendulumEnv"}
gym.register(**kwargs, kwargs={"g": 3.0}, max_episode_steps=200)
gym.register("Acrobot-v1", "gymnasium.envs.classic_control:AcrobotEnv", max_episode_steps=90)
gym.register("Taxi-v3", "gymnasium.envs.toy_text.taxi:TaxiEnv", max_episode_steps=20)
gym.register("ALE/Pong-v5", Mine, max_episode_steps=50)
gym.register("MiniGrid-Mine-v0", Mine, max_episode_steps=50)
"""


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module that registers known ids again, and one that imports it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "second_ids.py").write_text(SECOND)
    (tmp_path / "first_ids.py").write_text("import second_ids\n")
    (tmp_path / "third_ids.py").write_text(SECOND.replace("=50", "=60"))
    before = dict(gym.registry)
    yield tmp_path
    gym.registry.clear()
    gym.registry.update(before)
    for name in ("first_ids", "second_ids", "third_ids"):
        sys.modules.pop(name, None)


@pytest.mark.filterwarnings("ignore:.*Overriding environment")
def test_a_known_id_that_a_module_registers_again_is_the_modules(second: Path) -> None:
    file = f"{second}/first_ids.py"
    for name, imports, env_id, limit in [
        ("first_ids.py:CartPole-v1", (), f"{file}:CartPole-v1", 50),
        ("CartPole-v1", ("first_ids.py",), f"{file}:CartPole-v1", 50),
        ("cartpole", ("first_ids",), "first_ids:CartPole-v1", 50),
        ("gymnasium:CartPole-v1", ("first_ids",), "first_ids:CartPole-v1", 50),
        ("CartPole-v1", ("first_ids", "third_ids"), "third_ids:CartPole-v1", 60),
        ("first_ids:CartPole-v1", ("third_ids",), "first_ids:CartPole-v1", 50),
        ("Pendulum-v1", ("first_ids",), "first_ids:Pendulum-v1", 200),
        ("Acrobot-v1", ("first_ids",), "first_ids:Acrobot-v1", 90),
        ("Taxi-v3", ("first_ids",), "first_ids:Taxi-v3", 20),
        ("pong", ("first_ids",), "first_ids:ALE/Pong-v5", 50),
        ("first_ids:ALE/Pong-v5", (), "first_ids:ALE/Pong-v5", 50),
        ("MiniGrid-Mine-v0", ("first_ids",), "first_ids:MiniGrid-Mine-v0", 50),
    ]:
        info = catalog.environment(name, imports)
        assert (info.id, info.max_episode_steps) == (env_id, limit), name
        assert info.family == "gymnasium"  # whose preset is the default one
        assert info.name not in envs.INFOS
        assert info.threshold == (40.0 if "CartPole" in env_id else None)
        assert envs.is_namesake(info.id)
        assert not envs.in_lockstep(info.id)
    assert "second_ids" not in sys.modules
    # Of the ids that a module does not register again, nothing changes.
    for name in ("first_ids:MountainCar-v0", "mountaincar"):
        assert catalog.environment(name, ("first_ids",)).id == "MountainCar-v0"
    spec = make_spec("ppo", "CartPole-v1", imports=["first_ids"], storage=second)
    (note,) = [note for note in notes(spec, JobSpec()) if "first_ids" in note]
    assert "presets, thresholds and wrappers of that one do not apply" in note


@pytest.mark.filterwarnings("ignore:.*Overriding environment")
def test_two_modules_with_one_id_are_kept_apart_in_one_process(second: Path) -> None:
    stock = make_spec("ppo", "CartPole-v1", storage=second)
    limits = {"second_ids": 50, "third_ids": 60}
    for module in [*limits, *limits]:  # made where both have been loaded, too
        name = catalog.environment(f"{module}:CartPole-v1").id
        for made in (envs.make(name), *envs.make_vec(name, 4).unwrapped.envs):
            assert made.spec.max_episode_steps == limits[module]
            assert type(made.unwrapped).__name__ == "Mine"
    assert envs.family("CartPole-v1") is None
    assert not envs.in_lockstep("CartPole-v1")
    assert catalog.environment("cartpole").id == "third_ids:CartPole-v1"
    with pytest.raises(BadInput, match="r: CartPole-v1 is another environment in this process"):
        check_there(stock, "r")


SCRIPT = """\
import sys
import gymnasium as gym
import rltune
from shapes import Plain

class Mine(Plain):
    def __init__(self, length=10):
        self.length = length

for env_id in ("Script-v0", "CartPole-v1"):
    gym.register(env_id, Mine, kwargs={"length": 6}, max_episode_steps=50)
options = dict(trials=1, steps=512, scheduler="fifo", target=float("inf"), episodes=10, settings={
    "train_batch_size": 256, "minibatch_size": 64, "num_envs_per_env_runner": 2})
options["address"] = sys.argv[-1]
"""
UNGUARDED = """\
import ray
ray.init(address=options.pop("address"), log_to_driver=False)
print(rltune.sweep("ppo", "CartPole-v1", name="id", **options).summary["evaluation"]["mean"])
print(rltune.sweep("ppo", Mine, env_args={"length": 7}, name="class", **options).summary[
    "evaluation"]["mean"])
"""
GUARDED = """\
def main():
    from rltune.request.resolve import make_spec
    gym.register("Late-v0", Mine)
    print(make_spec("ppo", "Script-v0").env_id)
    print(make_spec("ppo", Mine).env_id)
    try:
        make_spec("ppo", "Late-v0")
    except rltune.RltuneError as error:
        print(error)

if __name__ == "__main__":
    main()
"""


def _script(folder: Path, text: str, *words: str, stdin: str = "") -> list[str]:
    (folder / "script.py").write_text(text)
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **PATHS},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.fault(73)
def test_classes_and_ids_of_the_main_script_are_named_by_its_file(tmp_path: Path) -> None:
    said = _script(tmp_path, SCRIPT + GUARDED, "script.py")
    file = tmp_path / "script.py"
    assert said[:2] == [f"{file}:Script-v0", f"{file}:Mine"]
    assert "'Late-v0' was registered in this process" in said[2]
    assert "at the top level" in said[2]


NOTEBOOK = """\
from rltune.request.resolve import make_spec
for env in (Mine, "Script-v0"):
    try:
        make_spec("ppo", env)
    except rltune.RltuneError as error:
        print(error)
"""


@pytest.mark.fault(73)
def test_classes_of_a_notebook_are_refused_with_the_fix(tmp_path: Path) -> None:
    said = _script(tmp_path, "", "-", stdin=SCRIPT + NOTEBOOK)
    assert len(said) == 2
    assert all("my_env.py" in line for line in said)


@pytest.mark.fault(73)
@pytest.mark.slow
def test_a_script_without_a_main_guard_trains_its_own_environment(
    tmp_path: Path, cluster_address: str
) -> None:
    said = _script(tmp_path, SCRIPT + UNGUARDED, "script.py", cluster_address)
    assert said == ["6.0", "7.0"]
    done = run_rltune(tmp_path, "evaluate", "runs/id", "--episodes", "3", variables=PATHS)
    assert done.returncode == 0, done.stderr
    assert "6 mean return" in done.stdout


def test_a_ray_that_a_script_starts_is_left_out_with_a_warning(tmp_path: Path) -> None:
    """Where nothing is connected; a worker's script gets the Ray that there is."""
    script = tmp_path / "connects.py"
    script.write_text("import ray\nray.init(address='10.0.0.1:1')\nclass Mine: pass\n")
    code = (
        "import logging, sys, ray\nlogging.basicConfig(stream=sys.stdout, format='%(message)s')\n"
        "from rltune.envs import places\ninit = ray.init\n"
        "print(places.find(sys.argv[1] + ':Mine').__name__, ray.is_initialized(), ray.init is init)"
    )
    told, found = run_python(code, str(script)).splitlines()
    assert told.startswith("ray.init() of connects is left out")
    assert found == "Mine False True"


# Secrets (71) ---------------------------------------------------------------------------------


@pytest.mark.fault(71)
@pytest.mark.parametrize(
    "name",
    (
        "max_tokens author authority control_authority passwords num_tokens token_ids secretary "
        "keyboard monkey key max_token tokenizer"
    ).split(),
)
def test_ordinary_argument_names_are_not_secrets(name: str) -> None:
    assert not secrets.is_secret(name)
    assert secrets.hide({name: "x"}) == {name: "x"}


@pytest.mark.fault(71)
@pytest.mark.parametrize(
    "name",
    (
        "password DB_PASSWORD api_key apiKey API-KEY token auth_token authToken client_secret "
        "aws_secret_access_key private_key credentials smtp_passwd"
    ).split(),
)
def test_names_of_secrets_are_recognised(name: str) -> None:
    assert secrets.is_secret(name)


@pytest.mark.fault(71)
@pytest.mark.parametrize("value", ["hunter2", 1234, 0.5, b"\x01", ("user", "pw"), ["a"], "inf"])
def test_a_secret_keeps_its_type_and_leaves_no_trace(value: object) -> None:
    hidden = secrets.hide({"db": {"password": value}, "token": value})
    shown = str(hidden)
    assert "hunter2" not in shown
    assert shown.count("$RLTUNE_SECRET_") == 2
    assert envs.reveal(hidden) == {"db": {"password": value}, "token": value}
    assert secrets.hide(hidden) == hidden


@pytest.mark.fault(71)
def test_values_that_cannot_be_secret_are_kept() -> None:
    given = {"use_token": True, "password": None, "token": "", "credentials": {}}
    assert secrets.hide(given) == given


@pytest.mark.fault(71)
def test_two_secrets_with_one_variable_name_are_kept_apart() -> None:
    given = {"api_key": "a", "api-key": "b"}
    assert envs.reveal(secrets.hide(given)) == given


@pytest.mark.fault(71)
def test_secrets_in_dataclasses_and_pairs_are_hidden() -> None:
    given = {"motor": shapes.Motor((1.0, 2.0), password="hunter2"), "p": {1: 2, "token": "hunter2"}}
    hidden = secrets.hide(given)
    assert "hunter2" not in str(hidden)
    assert envs.reveal(hidden) == given


@pytest.mark.fault(71)
def test_command_lines_are_redacted_in_every_spelling() -> None:
    words = ["--env-arg=api_key=x", "db={password='x', port=3}", "max_tokens=8", "--seed", "3"]
    redacted = ["--env-arg=api_key=***", "db=***", "max_tokens=8", "--seed", "3"]
    assert secrets.redact(words) == redacted


@pytest.mark.fault(95)
def test_a_wrong_argument_names_the_accepted_ones(cli: Cli, tmp_path: Path) -> None:
    for file in (ROOT / "examples").glob("*.py"):
        shutil.copy(file, tmp_path)
    for words, said in {
        "ppo trading.py:Book --env-arg fees=1": "Book takes no argument 'fees'. Did you mean 'fee'",
        "ppo trading.py:Book --env-arg colour=1": "It takes: fee, swing, steps.",
        "sac arm.py:heavy_arn": "arm.py:heavy_arm'?",
        "sac Arm-v0": "add --import MODULE",
    }.items():
        done = cli(*words.split(), "--dry-run")
        assert done.returncode == 2
        assert said in done.stderr, words
        assert len(done.stderr.splitlines()) == 1


def test_what_rltune_registers_for_rllib_keeps_its_name() -> None:
    """As where RLlib's own engine has run in this process before."""
    env_creator.register_with_rllib("shapes:Maze")
    assert catalog.environment("shapes:Maze").id == "shapes:Maze"


def test_installed_packages_are_read_once_for_an_id_of_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not for each of the hundreds of ids that gymnasium knows."""
    read = mock.Mock(wraps=environments.entry_points)
    monkeypatch.setattr(environments, "entry_points", read)
    assert catalog.environment("OddActionsDict-v0").id == "odd_spaces:OddActionsDict-v0"
    read.assert_called_once_with(group="gymnasium.envs")
