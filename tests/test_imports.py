"""Imports point one way, and the big dependencies enter through few doors."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from conftest import ROOT, run_python

import rltune
from rltune.callbacks.loggers.trackers import TRACKERS
from rltune.searchers import READY, SEARCHERS

#: The rooms from the bottom up: a room imports from its own rank and from those before it.
RANKS = [
    {"_version", "errors", "import_path", "statistics", "schema", "toml_file"},
    {"processes"},
    {"engine"},
    {"options", "step_budget"},
    {"envs", "space", "metric"},
    {"environments"},
    {"spec"},
    {"catalog"},
    {"runs"},
    {"schedulers", "searchers"},
    {"simulator"},
    {"algorithms"},
    {"policies"},
    {"reports"},
    {"request"},
    {"clusters"},
    {"tasks"},
    {"integrations"},
    {"callbacks"},
    {"sweeps"},
    {"live"},
    {"plans", "races"},
    {"run"},
    {"api"},
    {"cli"},
    {"__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}
DOORS = {
    "ray.rllib": {"algorithms"},
    "ray": {"algorithms", "clusters", "integrations", "sweeps", "tasks"},
}
#: What alone may use what Ray and Tune keep private.
RAY_ADAPTERS = ("rltune/sweeps/ray_adapter", "rltune/algorithms")
#: Parts of Tune that are private without an underscore.
INTERNALS = {"run_metadata", "temporary_state", "ray.tune.execution", "ray.tune.progress_reporter"}


def _files() -> list[Path]:
    return sorted([*(ROOT / "rltune").rglob("*.py"), *(ROOT / "envs").rglob("*.py")])


def _room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "envs" if parts[0] == "envs" else parts[1]


def _imports(path: Path) -> list[str]:
    return _imported(ast.parse(path.read_text()))


def _imported(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
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


def private_uses(source: str) -> list[str]:
    """What a module uses of Ray's that Ray keeps private; nothing where it does not import Ray.

    Private are modules and names with an underscore in front, attributes like that of anything but
    the object itself, options like that of a call, and :data:`INTERNALS`.
    """
    tree = ast.parse(source)
    names = [name for name in _imported(tree) if name.split(".")[0] == "ray"]
    if not names:
        return []
    found = [name for name in names if "._" in name or name.startswith(tuple(INTERNALS))]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            private = node.attr.startswith("_") and not node.attr.startswith("__")
            if node.attr in INTERNALS or (private and not own):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("ray."):
            found += [key.arg for key in node.keywords if key.arg and key.arg.startswith("_")]
    return found


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_ray_keeps_private_is_used_at_one_door(path: Path) -> None:
    if not str(path.relative_to(ROOT)).startswith(RAY_ADAPTERS):
        assert private_uses(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "from ray._private import worker",
        "import ray._private.worker",
        "from ray.tune.experiment.config_parser import _make_parser",
        "from ray.tune.execution import class_cache",
        "ray._private.worker._global_node",
        "ray.init(_temp_dir='/tmp')",
        "trial.run_metadata.checkpoint_manager.latest_checkpoint_result",
        "controller._actor_cache.increase_max(group)",
        "trial.checkpoints._latest_checkpoint_result = None",
    ],
)
def test_a_private_use_is_found(line: str) -> None:
    assert private_uses(f"import ray\nself._own = cls._own = 1\n{line}\n")


IMPORT_WATCHED = """\
import importlib, os, sys

def watched(change):
    def recorded(self, name, *value):
        frame = sys._getframe(1)
        while frame.f_globals["__name__"] in ("os", "_collections_abc", "contextlib"):
            frame = frame.f_back
        if frame.f_globals["__name__"].split(".")[0] == "rltune":
            print(frame.f_globals["__name__"], "changes", name)
        return change(self, name, *value)
    return recorded

variables = type(os.environ)
variables.__setitem__ = watched(variables.__setitem__)
variables.__delitem__ = watched(variables.__delitem__)
for name in sys.argv[1:]:
    importlib.import_module(name)
import ray
print("Ray runs" if ray.is_initialized() else "imported")
"""


def test_an_import_changes_no_variable_and_starts_no_ray() -> None:
    """What packages of others set when they are imported is theirs.

    Searchers whose library is not installed are left out, and integrations with other libraries;
    loggers of trackers are imported in processes of their own.
    """
    absent = {f"rltune.searchers.{n}" for n, row in SEARCHERS.items() if row.state != READY}
    absent |= {tracker.module for tracker in TRACKERS.values()}
    files = [path for path in _files() if _room(path) != "integrations"]
    files = [path.relative_to(ROOT).with_suffix("") for path in files]
    modules = [".".join(path.parts).removesuffix(".__init__") for path in files]
    modules = [f"rltune.{name}" if name.startswith("envs") else name for name in modules]
    printed = run_python(IMPORT_WATCHED, *(name for name in modules if name not in absent))
    assert printed.splitlines() == ["imported"]


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("rltune.cli.app", ("ray", "torch")),
        ("rltune.cli.list_", ("ray", "torch")),
        ("rltune.cli.sweep", ("ray", "torch", "tensorboard")),
        ("rltune.reports.write", ("ray", "torch", "plotly", "matplotlib", "optuna")),
        ("rltune.tasks.resume", ("ray", "torch")),
        ("rltune.runs.folder", ("ray", "torch")),
        ("rltune.tasks.function_trial", ("torch", "ray.rllib")),
        ("rltune.runs.checkpoints", ("ray", "torch", "numpy")),
    ],
)
def test_a_light_module_loads_nothing_heavy(module: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(sorted({{*{heavy}}} & set(sys.modules)))"
    printed = run_python(code)
    assert printed == "[]"


def test_the_engine_works_without_ray() -> None:
    """Every module of it, where Ray cannot be imported; of other packages it needs three."""
    modules = [f"rltune.engine.{path.stem}" for path in (ROOT / "rltune/engine").glob("[a-z]*.py")]
    code = (
        "import importlib, sys\n"
        "sys.modules['ray'] = None\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        "print(len([name for name in sys.modules if name.startswith('rltune.engine.')]))"
    )
    printed = run_python(code)
    assert int(printed) == len(modules) > 10
    imported = {
        name.split(".")[0]
        for module in (ROOT / "rltune/engine").glob("*.py")
        for name in _imports(module)
    }
    foreign = imported - sys.stdlib_module_names - {"rltune"}
    assert foreign == {"numpy", "torch", "gymnasium"}


@pytest.mark.parametrize(
    ("words", "loaded"),
    [
        ([], []),
        (["--help"], []),
        (["train", "--help"], []),
        (["ppo", "cartpole", "--help"], ["gymnasium", "numpy"]),  # for the preset's defaults
    ],
)
def test_help_imports_nothing_heavy(words: list[str], loaded: list[str]) -> None:
    code = (
        "import sys\nfrom rltune.cli import main\n"
        f"try:\n    main({words})\nexcept SystemExit:\n    pass\n"
        "print(sorted({'ray', 'torch', 'gymnasium', 'numpy', 'tensorboard'} & set(sys.modules)))"
    )
    printed = run_python(code)
    assert printed.splitlines()[-1] == str(loaded)


def test_exported_members() -> None:
    assert set(rltune.__all__) == {
        "Callback",
        "Run",
        "RltuneError",
        "__version__",
        "compare",
        "get_checkpoint",
        "landscape",
        "load",
        "extend",
        "replay",
        "simulate",
        "report",
        "sweep",
        "train",
        "trust",
        "tune",
    }
    assert dir(rltune) == sorted(rltune.__all__)
    assert callable(rltune.sweep)
    # The submodules that a first use imports must not shadow the public functions.
    assert callable(rltune.sweep)
    assert callable(rltune.load)
    with pytest.raises(AttributeError, match="nonsense"):
        rltune.nonsense  # noqa: B018
