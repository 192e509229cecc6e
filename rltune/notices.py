"""What a person should know once, however often it comes up."""

from __future__ import annotations

import logging
from functools import cache

log = logging.getLogger("rltune")


@cache
def warn_once(text: str) -> None:
    """Logs a warning, the first time in this process that there is reason to."""
    log.warning(text)
