"""The package installed, as a wheel and editable, and used from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(ROOT))
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The interpreter of a fresh virtual environment that has rltune installed."""
    home = tmp_path_factory.mktemp(request.param)
    _run(sys.executable, "-m", "venv", str(home))
    python = str(home / "bin" / "python")
    # The dependencies come from the environment under test: only rltune itself is installed again.
    (site,) = home.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    what = [str(wheel)] if request.param == "wheel" else ["-e", str(ROOT)]
    _run(python, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", *what)
    return python


def _run(*command: str, cwd: Path | None = None) -> str:
    plain = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        command, cwd=cwd, env=plain, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_code_environments_and_presets(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"rltune/__main__.py", "rltune/envs/__init__.py", "rltune/space/__init__.py"} <= names
    assert {"rltune/presets/dqn/default.toml", "rltune/presets/ppo/cartpole.toml"} <= names
    page = {"comparison.html.j2", "made.html.j2", "parts.html.j2", "report.html.j2", "run.html.j2"}
    page |= {"report.css", "report.js"}
    assert {f"rltune/reports/page/{name}" for name in page} <= names
    recipes = {"slurm.sh.j2", "kuberay.yaml.j2", "aws.yaml.j2", "gcp.yaml.j2", "cloud.yaml.j2"}
    assert {f"rltune/clusters/recipes/{name}" for name in recipes} <= names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rltune"}


def test_it_works_from_another_folder(python: str, tmp_path: Path) -> None:
    assert "cartpole" in _run(python, "-m", "rltune", "list", "presets", cwd=tmp_path)
    script = str(Path(python).with_name("rltune"))
    assert "log = [0.0003, 0.003]" in _run(script, "show", "dqn", "cartpole", cwd=tmp_path)
    where = _run(python, "-c", "import rltune.envs as e; print(e.__file__)", cwd=tmp_path)
    assert ("site-packages" in where) != (str(ROOT) in where)


@pytest.mark.parametrize(
    "python", ["wheel", pytest.param("editable", marks=pytest.mark.by_hand)], indirect=True
)
def test_it_works_inside_ray_workers(python: str, tmp_path: Path) -> None:
    script = str(Path(python).with_name("rltune"))
    words = "ppo cartpole --scheduler fifo --trials 1 --steps 1000 --episodes 5 --json --name small"
    assert '"status": "TERMINATED"' in _run(script, *words.split(), cwd=tmp_path)


def test_it_works_uninstalled_from_the_root() -> None:
    code = "import rltune.envs; print(rltune.envs.__file__)"
    assert _run(sys.executable, "-c", code, cwd=ROOT).startswith(str(ROOT / "envs"))
