"""A report as one HTML file: text, style, plotly and figures, all inside."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from rltune.reports.drawings import Sections
from rltune.reports.numbers import bounds, clock, number, setting

#: The only text of a figure that is ours alone: plotly's own marks stand in it.
OURS = "hovertemplate"


def page(document: Mapping[str, Any], sections: Sections) -> str:
    """The HTML of a report.

    Args:
        document: see :mod:`rltune.reports.document`; sections: its drawings.
    """
    parts = files("rltune.reports") / "page"

    def text(name: str) -> str:
        return (parts / name).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "setting": setting, "clock": clock, "bounds": bounds}
    figures = {
        f"{drawing.plot.name}/{facet}": cleaned(figure)
        for drawings in sections.values()
        for drawing in drawings
        for facet, figure in drawing.figures.items()
    }
    return environment.get_template("report.html.j2").render(
        **document,
        drawings=sections,
        figures=Markup(_json(figures)),
        style=Markup(text("report.css")),
        script=Markup(text("report.js")),
        # Imported here: a sweep's start does not wait for it.
        plotly=Markup(import_module("plotly.offline").get_plotlyjs()),
    )


def _json(value: Any) -> str:
    """JSON that can stand in a script element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def cleaned(value: Any) -> Any:
    """A figure as the page may show it: data only.

    Plotly takes some markup in texts for markup; names in a run folder may be anybody's. Numbers
    that JSON does not have are gaps, and six digits are enough for a picture.
    """
    if isinstance(value, dict):
        return {key: one if key == OURS else cleaned(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(one) for one in value]
    if isinstance(value, str):
        return html.escape(value, quote=False)
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
