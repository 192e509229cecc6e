"""A cluster started by a Python without rltune, beside a stale copy of the user's code."""

from __future__ import annotations

import json
import subprocess
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import create_connection
from typing import NamedTuple

import psutil
import pytest
from conftest import CLUSTER, environment, run_rltune
from test_submit import free_port

#: The user's: it is imported by name, and the node finds an older one.
CODE = """\
import rltune
from helper import RATE

def climb(config):
    assert "_ray_pkg_" in rltune.__file__, "it was shipped, too"
    rltune.report({"height": RATE * config["x"]})
"""
SPACE = ("--space", "x={uniform=[1,2]}", "--metric", "height")


class Node(NamedTuple):
    """A cluster of one node.

    Attributes:
        python: that runs it.
    """

    address: str
    python: Path


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    python = folder / "bin/python"
    (packages,) = folder.glob("lib/*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    stale = tmp_path_factory.mktemp("stale")
    (stale / "mine.py").write_text("raise RuntimeError('stale')\n")
    port = free_port()
    words = f"start --head --block --num-cpus 2 --include-dashboard false --port {port}"
    around = {**environment(), **CLUSTER, "PYTHONPATH": str(stale)}
    started = subprocess.Popen(
        [python, "-m", "ray.scripts.scripts", *words.split(), "--disable-usage-stats"],
        env=around,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.2)
    yield Node(f"127.0.0.1:{port}", python)
    below = psutil.Process(started.pid).children(recursive=True)
    started.terminate()
    for process in psutil.wait_procs(below, timeout=10)[1]:
        process.kill()
    started.wait()


def test_a_bare_node_gets_the_code(node: Node, tmp_path: Path) -> None:
    """Rltune, and the newer one of two modules with the same name."""
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run([node.python, "-Ic", "import rltune"], check=True, capture_output=True)
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "helper.py").write_text("RATE = 1.0\n")
    words = ("tune", "mine:climb", *SPACE, "--trials", "1", "--json", "--address", node.address)
    done = run_rltune(tmp_path, *words, variables=CLUSTER)
    assert done.returncode == 0, done.stderr
    assert "and mine to 1 node" in done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert [trial["status"] for trial in summary["trials"]] == ["TERMINATED"]
    assert all(trial["score"] == trial["config"]["x"] for trial in summary["trials"])
