"""A sweep as a person at the terminal sees it: one live table, then what came out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rltune.callbacks.base import (
    Callback,
    DecisionApplied,
    EvaluationStarted,
    Notice,
    StatusChanged,
    SweepAbandoned,
    SweepEnded,
    SweepStarted,
    TrialReported,
)
from rltune.cli.console import output
from rltune.cli.outcome import outcome
from rltune.metric import Metric
from rltune.options import UNTIL_RETURN
from rltune.reports.numbers import clock, number, setting
from rltune.request.capacity import replay_layout
from rltune.runs.records import Report
from rltune.spec import JobSpec, RunSpec

#: Seconds between two lines where there is no terminal to draw on.
LINE_EVERY = 10.0
#: Tune's words for a trial's state, and a person's.
STATES = {
    "PENDING": "waiting",
    "PAUSED": "waiting",
    "RUNNING": "running",
    "TERMINATED": "done",
    "ERROR": "failed",
}
#: What a terminal shows the cursor at.
SHOW_CURSOR = b"\x1b[?25h"
#: Lines of the screen that the table does not get.
AROUND_TABLE = 6


class Watcher(Callback):
    """Keeps what has been heard of a sweep; a subclass shows it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.spec: RunSpec | None = None
        self.job = JobSpec()
        self.rows: dict[str, Report] = {}
        self.statuses: dict[str, str] = {}
        self.best: Report | None = None
        #: Environment steps on each trial's clock, and of all together before a resume.
        self.clocks: dict[str, int] = {}
        self.before = 0
        self.exploits = 0
        self.doing = ""
        self.since = time.monotonic()

    def waiting(self, text: str) -> None:
        """What is going on while no trial runs."""
        self.doing = text

    def on_start(self, event: SweepStarted) -> None:
        self.spec, folder = event.spec, event.folder
        self.job = folder.job
        earlier = [row for trial in folder.trials() for row in folder.reports(trial)]
        self.clocks = {row.trial: row.env_steps for row in earlier}
        self.before = self.done
        hint = f"; if it is stopped: rltune resume {folder.shown}"
        self.console.print(f"run folder {folder.shown}{hint}", style="dim", soft_wrap=True)
        if layout := replay_layout(event.spec):
            size = decimal(layout.nbytes)
            self.console.print(f"each replay buffer takes {size} of memory when full", style="dim")
        self.waiting("starting Ray")

    def on_result(self, event: TrialReported) -> None:
        row = event.report
        self.rows[row.trial] = row
        self.clocks[row.trial] = row.env_steps
        score = self.goal.score_of(row.measured)
        best = None if self.best is None else self.goal.score_of(self.best.measured)
        if score is not None and (best is None or score > best):
            self.best = row
        self.waiting("")

    def on_status(self, event: StatusChanged) -> None:
        self.statuses[event.trial] = event.status

    def on_exploit(self, event: DecisionApplied) -> None:
        self.exploits += 1

    def on_evaluation(self, event: EvaluationStarted) -> None:
        self.waiting(
            f"choosing the best policy and evaluating it over {event.episodes} fresh episodes"
        )

    def on_notice(self, event: Notice) -> None:
        self.waiting(event.text)

    def on_abandoned(self, event: SweepAbandoned) -> None:
        """Says how to continue, below what is on the screen: no lock is taken, nothing buffered."""
        self.restore()
        os.write(2, f"\ninterrupted: {event.advice}\n".encode())

    def restore(self) -> None:
        """Puts the terminal back as it was."""

    def on_end(self, event: SweepEnded) -> None:
        summary = event.summary
        self.waiting("")
        if summary.best is not None and self.spec is not None:
            # Commands are whole in a window of any width.
            self.console.print(outcome(self.spec, self.job, summary), crop=False)

    @property
    def goal(self) -> Metric:
        """What is tuned."""
        return Metric() if self.spec is None else self.spec.goal

    # Shared by both ways of showing -----------------------------------------------------------

    def headline(self) -> str:
        """What runs, for how long, and the time that is left."""
        spec = self.spec
        if spec is None:
            return self.doing
        elapsed = time.monotonic() - self.since
        parts = [spec.algo, spec.env, spec.budget.scheduler, f"{clock(elapsed)} elapsed"]
        if self.doing:
            parts.append(self.doing)
        elif self.total and self.done > self.before:
            left = elapsed * max(0, self.total - self.done) / (self.done - self.before)
            parts.append(f"at most {clock(left)} left")
        return " · ".join(parts)

    def progress(self) -> str:
        """Steps, and what they have brought."""
        most = f" of at most {self.total:,}" if self.total else ""
        parts = [f"{self.done:,}{most} steps"]
        if self.best is not None:
            parts.append(f"best {number(self.goal.of(self.best.measured))} by {self.best.trial}")
        if self.exploits:
            parts.append(f"{self.exploits} exploit{'s' * (self.exploits > 1)}")
        return " · ".join(parts)

    @property
    def done(self) -> int:
        """Environment steps that the trials have behind them, of the budget's."""
        return sum(self.clocks.values())

    @property
    def total(self) -> int:
        """Environment steps of the whole budget; 0 where functions say when they are done."""
        if self.spec is None or self.spec.budget.steps == UNTIL_RETURN:
            return 0
        return self.spec.budget.steps * self.spec.budget.most_trials


class LiveWatcher(Watcher):
    """Draws one table in place."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.live = Live(
            get_renderable=self.render, console=console, refresh_per_second=4, transient=True
        )

    def render(self) -> RenderableType:
        """The headline over one line a trial."""
        head = Text(self.headline(), style="bold", overflow="ellipsis", no_wrap=True)
        if not self.rows:
            return head
        return Group(head, Text(self.progress(), no_wrap=True), Text(), self.table())

    def restore(self) -> None:
        """Shows the cursor, and ends the line that it is in."""
        os.write(self.console.file.fileno(), SHOW_CURSOR)

    def table(self) -> Table:
        """The trials that run and the best of the others, as many as the screen holds."""
        assert self.spec is not None
        searched = list(self.spec.space)
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("trial", "state"):
            table.add_column(name)
        for name in ("steps", self.goal.words.removeprefix("mean "), *searched):
            table.add_column(name, justify="right", overflow="ellipsis", no_wrap=True)
        room = max(4, self.console.height - AROUND_TABLE)
        for row in sorted(self.rows.values(), key=self._order)[:room]:
            is_best = self.best is not None and row.trial == self.best.trial
            table.add_row(
                row.trial,
                self.state(row),
                f"{row.env_steps:,}",
                number(self.goal.of(row.measured)),
                *(setting(row.settings[name]) for name in searched),
                style="green" if is_best else None,
            )
        if len(self.rows) > room:
            table.add_row(f"and {len(self.rows) - room} more", style="dim")
        return table

    def state(self, row: Report) -> str:
        """What a trial is doing, in a word."""
        status = self.statuses.get(row.trial, "RUNNING")
        return "diverged" if row.diverged and status != "RUNNING" else STATES[status]

    def _order(self, row: Report) -> tuple[bool, str]:
        if len(self.rows) <= max(4, self.console.height - AROUND_TABLE):
            return (False, row.trial)
        return (self.statuses.get(row.trial) != "RUNNING", row.trial)


class LineWatcher(Watcher):
    """Prints a line now and then: for pipes and log files."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._next = 0.0

    def waiting(self, text: str) -> None:
        super().waiting(text)
        if text:
            self.console.print(text, soft_wrap=True)

    def on_result(self, event: TrialReported) -> None:
        super().on_result(event)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_EVERY
            self.console.print(f"{self.headline()} · {self.progress()}", soft_wrap=True)


@contextmanager
def watcher(*, json: bool, quiet: bool) -> Iterator[Watcher]:
    """The watcher that suits where the output goes."""
    console = output(json)
    if quiet:
        yield Watcher(Console(quiet=True))
    elif console.is_terminal:
        watch = LiveWatcher(console)
        with watch.live:
            yield watch
    else:
        yield LineWatcher(console)
