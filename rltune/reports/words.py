"""Words that several parts of a report share."""

from __future__ import annotations

#: The arms of a replay.
ARMS = {
    "schedule": "the champion's schedule",
    "final": "its final settings, constant",
    "initial": "the best initial settings",
}
