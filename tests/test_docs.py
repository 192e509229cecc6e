"""The documentation as a site: every link leads somewhere, and nothing needs a network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, environment

PAGES = sorted((ROOT / "docs").glob("*.md"))
#: What a browser fetches by itself when it opens a page.
FETCHED = re.compile(r"<(?:script|img|iframe)[^>]+src=\"(.+?)\"|<link[^>]+href=\"(.+?)\"")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
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


def test_the_readme_s_links_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{page}: {target}"
