"""What of a request's code is the user's own, and has to be on a cluster's nodes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rltune.envs import arguments

from rltune.clusters import node_facts
from rltune.clusters.own_code import NEEDED, code_of, packages_of
from rltune.clusters.shipment import Shipment
from rltune.import_path import PACKAGE
from rltune.request.resolve import make_spec
from rltune.spec import EnvOptions, RunSpec

FILES = {
    "my_env.py": "import helper\nfrom gymnasium.envs.classic_control import CartPoleEnv as Env\n",
    "helper.py": "import numpy\n",
    "numpy.py": "raise ImportError('an installed package comes first')\n",
    "registers.py": "import gymnasium\ngymnasium.register('Reg-v0', entry_point='behind:Env')\n",
    "behind.py": "",
    "package/__init__.py": "",
    "package/inner.py": "from . import data\n",
    "package/data.txt": "not code, and goes along with its package",
    "unused.py": "",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return tmp_path


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> RunSpec:
    return make_spec("ppo", "cartpole", storage=tmp_path_factory.mktemp("runs"), address="auto")


def _spec(cartpole: RunSpec, env: str, **options: object) -> RunSpec:
    kinds = {"env_options": EnvOptions(simulator="gymnasium", **options)}  # type: ignore[arg-type]
    return RunSpec(**{**vars(cartpole), "env_id": env, **kinds})


@pytest.mark.parametrize(
    ("env", "files"),
    [
        ("my_env:Env", ["helper.py", "my_env.py"]),
        ("{folder}/my_env.py:Env", ["helper.py", "my_env.py"]),
        ("package.inner:Env", ["package/__init__.py", "package/data.txt", "package/inner.py"]),
        (
            "{folder}/package/inner.py:Env",
            ["package/__init__.py", "package/data.txt", "package/inner.py"],
        ),
        ("registers:Reg-v0", ["behind.py", "registers.py"]),
    ],
)
def test_own_code_is_found(folder: Path, cartpole: RunSpec, env: str, files: list[str]) -> None:
    (code,), installed = code_of(_spec(cartpole, env.format(folder=folder)))
    assert code.root == folder
    assert [path.as_posix() for path in code.files] == files
    assert not installed


def test_imports_and_arguments_count(folder: Path, cartpole: RunSpec) -> None:
    behind = {arguments.TAG: "object", "value": "helper:reward"}
    args = {"rewards": [behind], "when": {arguments.TAG: "time", "value": "12:30"}}
    spec = _spec(cartpole, "Reg-v0", imports=(str(folder / "registers.py"),), env_args=args)
    own, installed = code_of(spec)
    assert {code.shown for code in own} == {"registers.py", "helper"}
    assert not installed


def test_installed_modules_are_named_alone(cartpole: RunSpec) -> None:
    own, installed = code_of(_spec(cartpole, "ale_py:ALE/Pong-v5"))
    assert (own, installed) == ([], ["ale_py"])
    assert packages_of(_spec(cartpole, "LunarLander-v3")) == [*NEEDED, "box2d"]


def test_what_is_shipped_is_found_where_it_arrives(
    folder: Path, cartpole: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, _ = code_of(_spec(cartpole, "my_env:Env"))
    wanted = {"packages": (), "modules": (), "file": None, "hash": ""}
    wanted["own"] = [code.hashes() for code in own]
    assert node_facts.facts(wanted)["own"] == []
    (folder / "helper.py").write_text("changed = True\n")
    assert node_facts.facts(wanted)["own"] == [0]
    (folder / "helper.py").write_text(FILES["helper.py"])
    shipment = Shipment(rltune=True, own=own)
    with shipment.folders() as (copy, rltune):
        (folder / "my_env.py").unlink()
        assert node_facts.facts(wanted)["own"] == [0]
        for name, value in shipment.variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(Path(copy).parent)
        assert Path(copy).name == PACKAGE.format(0)
        assert node_facts.facts(wanted)["own"] == []
        assert (Path(rltune) / "envs/__init__.py").is_file()
        assert (Path(rltune) / "presets/ppo/default.toml").is_file()
