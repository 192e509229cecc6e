"""The report in a browser: no error, every plot drawn, on screens, on a phone and on paper.

``RLTUNE_PICTURES=DIR pytest tests/reports/test_browser.py`` keeps a picture of each first screen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import simulated_runs

from rltune.reports.write import RunReport, write_report
from rltune.simulator import simulate
from rltune.simulator.run_folder import write_run

EARLIER = Path(__file__).parents[1] / "data/runs_0_1/finished"
#: What a stranger might call a setting.
HOSTILE = "<img src=x onerror=hacked=1>%{x}"
SCRIPT = "</script><script>hacked=1</script>"
SCREENS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of each kind of run."""
    storage = tmp_path_factory.mktemp("runs")
    space = {HOSTILE: {"choice": [SCRIPT, "<b>b</b>"]}, "x": {"uniform": [0, 1]}}
    hostile = simulate(lambda settings, steps: settings["x"] * steps, space, trials=6, steps=1_000)
    runs = {
        "population": simulated_runs.population(storage).path,
        "search": simulated_runs.search(storage).path,
        "front": simulated_runs.front(storage).path,
        "hostile": write_run(hostile, storage / "hostile").path,
        "earlier": EARLIER,
    }
    compared = RunReport.of(EARLIER, EARLIER.with_name("killed"))
    return {
        "compared": compared.write(storage / "compared.html"),
        **{name: write_report(run, storage / f"{name}.html") for name, run in runs.items()},
    }


@pytest.fixture
def problems() -> list[str]:
    """What a page complained about, and what it asked a network for."""
    return []


@pytest.fixture
def opened(chromium: Any, problems: list[str]) -> Iterator[Any]:
    """Opens a file in a browser without a network, and waits for its plots."""
    contexts = []

    def page(path: Path, **screen: Any) -> Any:
        context = chromium.new_context(offline=True, **screen)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: _is_inside(request.url) or problems.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn]")
        return page

    yield page
    for context in contexts:
        context.close()


def _is_inside(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))


@pytest.mark.parametrize(
    ("name", "screen"),
    [
        *(("population", "light"), ("population", "phone"), ("search", "dark")),
        *(("search", "phone"), ("hostile", "light"), ("earlier", "light"), ("compared", "phone")),
        ("front", "phone"),
    ],
)
def test_every_plot_is_drawn_without_an_error(
    name: str, screen: str, reports: dict[str, Path], opened: Any, problems: list[str]
) -> None:
    page = opened(reports[name], **SCREENS[screen])
    boxes = page.query_selector_all("[data-figure]")
    assert len(boxes) >= 3
    for box in boxes:
        assert box.query_selector_all(".scatterlayer .trace, .barlayer .trace")
        inside, width = box.bounding_box(), SCREENS[screen]["viewport"]["width"]
        assert inside["x"] >= 0
        assert inside["x"] + inside["width"] <= width
    if folder := os.environ.get("RLTUNE_PICTURES"):
        page.screenshot(path=f"{folder}/report-{name}-{screen}.png")
    # Tables scroll inside themselves: the page itself has no side to scroll to.
    assert page.locator("html").evaluate("e => e.scrollWidth <= e.clientWidth")
    if screen == "phone":  # but for the leaderboard, whose settings would be out of sight
        inside = "[...document.querySelectorAll('.scroll:has(.board)')]"
        assert page.evaluate(f"{inside}.every(e => e.scrollWidth <= e.clientWidth)")
    assert problems == []


def test_a_strangers_words_stay_words(
    reports: dict[str, Path], opened: Any, problems: list[str]
) -> None:
    page = opened(reports["hostile"], **SCREENS["light"])
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.query_selector_all("img, iframe, object") == []
    assert HOSTILE in page.inner_text("main")
    drawn = [text.text_content() for text in page.query_selector_all("svg text")]
    assert {HOSTILE, SCRIPT} <= {*drawn}
    assert problems == []


def test_text_is_legible_by_day_and_by_night(reports: dict[str, Path], opened: Any) -> None:
    for screen, dark in (("light", False), ("dark", True)):
        page = opened(reports["search"], **SCREENS[screen])
        for selector, entry in (("main", "color"), ("svg .xtick text", "fill")):
            style = f"e => getComputedStyle(e).{entry}"
            ink = page.locator(selector).first.evaluate(style)
            assert (_brightness(ink) > 128) is dark, (selector, ink)
        paper = page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
        assert (_brightness(paper) < 128) is dark


def _brightness(colour: str) -> float:
    red, green, blue = (int(part) for part in colour.strip("rgb()").split(","))
    return 0.3 * red + 0.6 * green + 0.1 * blue


def test_a_print_is_light_and_no_plot_is_wider_than_the_paper(
    reports: dict[str, Path], opened: Any, problems: list[str]
) -> None:
    page = opened(reports["population"], **SCREENS["dark"])
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="print", color_scheme="dark")
    paper = page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    assert _brightness(paper) > 250
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    widths = [box.bounding_box()["width"] for box in page.query_selector_all(".main-svg")]
    assert max(widths) <= 660  # 210 mm less the margins are 695 pixels
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert problems == []
