"""The scripts are run by hand, months apart: what they import has to stay where it is."""

from __future__ import annotations

from conftest import ROOT, run_python

SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
CODE = """
import importlib, sys
sys.modules["stable_baselines3"] = None  # of the `bench` extra alone: imported where it is used
sys.path[:0] = ["scripts", "tests"]
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {error}")
"""


def test_every_script_can_be_imported() -> None:
    assert run_python(CODE, *SCRIPTS) == ""
