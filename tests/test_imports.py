"""Imports point one way, and the big dependencies enter through few doors."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, environment

import rltune

#: The rooms from the bottom up: a room imports from its own rank and from those before it.
RANKS = [
    {"_version", "errors", "statistics", "schema"},
    {"processes"},
    {"engine"},
    {"options"},
    {"envs", "space", "metric"},
    {"spec"},
    {"catalog"},
    {"runs"},
    {"schedulers", "searchers"},
    {"algorithms"},
    {"policies"},
    {"request"},
    {"tasks"},
    {"callbacks"},
    {"sweeps"},
    {"report"},
    {"api"},
    {"cli"},
    {"__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}
DOORS = {
    "ray.rllib": {"algorithms"},
    "ray.tune": {"algorithms", "schedulers", "sweeps"},
    "ray": {"algorithms", "schedulers", "sweeps"},
}


def _files() -> list[Path]:
    return sorted([*(ROOT / "rltune").rglob("*.py"), *(ROOT / "envs").rglob("*.py")])


def _room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "envs" if parts[0] == "envs" else parts[1]


def _imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_upwards(path: Path) -> None:
    room = _room(path)
    if room == "__init__":
        return  # the package's public face names everything, and loads it on use
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "rltune" and len(parts) > 1 and parts[1] in RANK and parts[1] != room:
            assert RANK[parts[1]] <= RANK[room], f"{path.name} ({room}) imports {name}"


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_ray_enters_through_its_doors(path: Path) -> None:
    for name in _imports(path):
        for package, rooms in DOORS.items():
            if name == package or name.startswith(package + "."):
                assert _room(path) in rooms, f"{path} imports {name}"


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("rltune.cli.app", ("ray", "torch")),
        ("rltune.cli.list_", ("ray", "torch")),
        ("rltune.cli.sweep", ("ray", "torch", "tensorboard")),
        ("rltune.runs.folder", ("ray", "torch")),
        ("rltune.runs.checkpoints", ("ray", "torch", "numpy")),
    ],
)
def test_a_light_module_loads_nothing_heavy(module: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(sorted({{*{heavy}}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment(),
    )
    assert done.stdout.strip() == "[]"


def test_the_engine_works_without_ray() -> None:
    """Every module of it, where Ray cannot be imported; of other packages it needs three."""
    modules = [f"rltune.engine.{path.stem}" for path in (ROOT / "rltune/engine").glob("[a-z]*.py")]
    code = (
        "import importlib, sys\n"
        "sys.modules['ray'] = None\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        "print(len([name for name in sys.modules if name.startswith('rltune.engine.')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment(),
    )
    assert int(done.stdout) == len(modules) > 10
    imported = {
        name.split(".")[0]
        for module in (ROOT / "rltune/engine").glob("*.py")
        for name in _imports(module)
    }
    foreign = imported - sys.stdlib_module_names - {"rltune"}
    assert foreign == {"numpy", "torch", "gymnasium"}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom rltune.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'ray', 'torch', 'gymnasium', 'numpy', 'tensorboard'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment(),
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_exported_members() -> None:
    assert set(rltune.__all__) == {
        "Callback",
        "Run",
        "RltuneError",
        "__version__",
        "load",
        "replay",
        "sweep",
        "train",
        "trust",
    }
    assert callable(rltune.sweep)
    # The submodules that a first use imports must not shadow the public functions.
    assert callable(rltune.sweep)
    assert callable(rltune.load)
    with pytest.raises(AttributeError, match="nonsense"):
        rltune.nonsense  # noqa: B018
