"""What a command needs beyond a plain install."""

from __future__ import annotations

from importlib.util import find_spec

from rltune.errors import BadInput


def need(extra: str, *modules: str) -> None:
    """Raises BadInput where a module of an extra in pyproject.toml is not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise BadInput(f"{', '.join(missing)} not installed: pip install 'rltune[{extra}]'")
