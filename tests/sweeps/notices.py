"""What a sweep tells a person while it runs, in a file."""

from __future__ import annotations

from rltune.callbacks.base import Callback, Notice, SweepStarted


class Notices(Callback):
    """Adds each notice to ``notices.txt`` in the run folder."""

    def on_start(self, event: SweepStarted) -> None:
        self.file = event.folder.path / "notices.txt"
        self.file.touch()

    def on_notice(self, event: Notice) -> None:
        with self.file.open("a") as file:
            file.write(f"{event.text}\n")
