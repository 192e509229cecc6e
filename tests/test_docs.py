"""The documentation as a site: every link leads somewhere, and nothing needs a network."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, environment

from rltune.catalog.algorithms import ALGORITHMS
from rltune.catalog.aliases import names_for
from rltune.cli.spelling import typed

PAGES = sorted((ROOT / "docs").glob("*.md"))
#: What a browser fetches by itself when it opens a page.
FETCHED = re.compile(r"<(?:script|img|iframe)[^>]+src=\"(.+?)\"|<link[^>]+href=\"(.+?)\"")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        # Not --quiet, which hides warnings from --strict as well.
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_built_and_nothing_comes_from_a_network(site: Path) -> None:
    for page in PAGES:
        html = (site / f"{page.stem}.html").read_text(encoding="utf-8")
        fetched = [script or link for script, link in FETCHED.findall(html)]
        assert fetched, page
        assert [url for url in fetched if "//" in url] == [], page


def test_the_reference_has_what_rltune_exports(site: Path) -> None:
    import rltune

    html = (site / "api.html").read_text(encoding="utf-8")
    missing = [name for name in rltune.__all__ if f'id="rltune.{name}"' not in html]
    assert missing == ["__version__"]
    assert "environment steps of a trial" in html  # of a docstring's table of arguments
    text = re.sub(r"<[^>]+>", "", html)
    assert "&gt;&gt;&gt; run = rltune.sweep" in text  # an example stays code
    assert ":func:" not in text


def test_the_readme_s_links_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{page}: {target}"


def test_a_message_of_the_troubleshooting_page_is_one_of_rltune_s() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE)
    assert len(quoted) > 30
    texts = [typed(text) for path in (ROOT / "rltune").rglob("*.py") for text in _texts(path)]
    for message in quoted:
        assert len(message) >= 14, message
        pattern = ".*".join(re.escape(part.strip()) for part in message.split("…"))
        assert any(re.search(pattern, text, re.DOTALL) for text in texts), message


def test_names_of_stable_baselines3_are_answered_as_the_page_says() -> None:
    page = (ROOT / "docs/from-rl-zoo3.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"\| Stable-Baselines3 .*?\n\n", page, re.DOTALL)
    known = {name for algo in ALGORITHMS.values() for name in algo.settings}
    rows = re.findall(r"^\| (`.+?) \| (`.+?) \|", table, re.MULTILINE)
    assert len(rows) > 12
    for theirs, ours in rows:
        names = re.findall(r"`(\w+)", ours)
        assert set(names) <= known
        for word in re.findall(r"`(\w+)", theirs):
            meant = [word] if word in known else names_for(word, known)
            assert set(meant) & set(names), word


def _texts(path: Path) -> Iterator[str]:
    """The texts of a module but its docstrings, with what f-strings put in left out."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    docstrings = [node.value for node in nodes if isinstance(node, ast.Expr)]
    for node in nodes:
        if node in docstrings:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
