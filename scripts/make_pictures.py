"""Makes the pictures of a sweep that the README and the documentation show.

    python scripts/make_pictures.py

Runs the main job, and writes the live table as it is after a few exploits (docs/live.svg) and the
first screen of the report (docs/report.png), as the installed Chromium draws it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from rltune.live import frame
from rltune.live.run_reader import RunReader
from rltune.runs.folder import RunFolder

DOCS = Path(__file__).resolve().parents[1] / "docs"
#: The main job, and seconds between two looks at it.
JOB, EVERY = ("dqn", "cartpole", "--seed", "0"), 0.5
#: The live table is drawn as it is just before one more exploit.
EXPLOITS = 3
#: Characters and lines of the terminal, and pixels of the browser.
COLUMNS, ROWS = 104, 24
SCREEN = {"width": 1100, "height": 740}
#: Rich's picture without the typefaces that it would load from a network.
SVG = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def sweep(folder: Path) -> tuple[RunFolder, list[Text]]:
    """Runs the main job.

    Returns:
        its run folder, and its live table.
    """
    words = [sys.executable, "-m", "rltune", *JOB, "--name", "first"]
    process = subprocess.Popen(words, cwd=folder)
    path = folder / "runs" / "first"
    while not (path / "run.json").is_file() and process.poll() is None:
        time.sleep(EVERY)
    reader = RunReader(RunFolder.open(path))
    lines: list[Text] = []
    while process.poll() is None:
        progress = reader.read()
        if progress.phase.name == "training" and progress.exploits <= EXPLOITS:
            lines = frame.lines(progress, time.time(), COLUMNS, ROWS)
        time.sleep(EVERY)
    if process.returncode:
        raise SystemExit("the sweep failed")
    return reader.folder, lines


def draw_table(lines: list[Text], path: Path) -> None:
    """Writes lines of a terminal as a picture."""
    with tempfile.TemporaryFile("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        for line in lines:
            console.print(line)
        title = f"rltune {' '.join(JOB[:2])}"
        path.write_text(console.export_svg(title=title, code_format=SVG, unique_id="live"))


def photograph(page: Path, path: Path) -> None:
    """Writes the first screen of a page as a browser draws it."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        context = browser.new_context(viewport=SCREEN, color_scheme="light", offline=True)
        opened = context.new_page()
        opened.goto(page.as_uri())
        opened.screenshot(path=path)
        browser.close()


def main() -> None:
    """Makes both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=DOCS, help="Folder of the pictures.")
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        run, lines = sweep(Path(folder))
        draw_table(lines, output / "live.svg")
        photograph(run.path / "report.html", output / "report.png")


if __name__ == "__main__":
    main()
