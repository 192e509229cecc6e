"""Measures what a sweep of many members costs the process that drives it.

    python scripts/bench_members.py --out members.jsonl               # a quarter of an hour
    python scripts/bench_members.py --kinds batch --members 125 1000 --scheduler fifo
    python scripts/bench_members.py --out members.jsonl --report      # tables alone

``batch`` is a population of PPO on CartPole with a network of eight units, all members at once in
a few processes; ``functions`` are trials of a function that does nothing, each by itself;
``decisions`` are the scheduler's alone, on drawn returns, without a sweep. Training
costs next to nothing, so that what is left is bookkeeping. Of the driving process alone, from the
first trial's start to the end of training, these are printed: processor seconds of each report and
each member, seconds in which the sweep's state was saved, what the state takes on the disk, and the
peak memory; of batches also for how long each process waits in all, between a report at which
members are saved and its next training. Bookkeeping is linear where a report costs the same with
any number of members.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

#: Reports of a member, and those of an interval, after which it is saved.
REPORTS, INTERVAL = 6, 2
#: Settings of a batch's members: the smallest that train at all.
SETTINGS = {
    "fcnet_hiddens": [8],
    "train_batch_size": 64,
    "minibatch_size": 64,
    "num_epochs": 1,
    "num_envs_per_env_runner": 1,
    "min_sample_timesteps_per_iteration": 64,
}
STEPS = 64


def train(config: Mapping[str, Any]) -> None:
    """Reports a score, with a checkpoint, each time."""
    import rltune

    began = (rltune.get_checkpoint() or {"step": 0})["step"]
    for step in range(began + 1, REPORTS + 1):
        rltune.report({"score": step * config["lr"]}, checkpoint={"step": step})


class Times:
    """Seconds that pass in calls, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        #: When a group's process came back with reports, by the group.
        self._back: dict[int, float] = {}
        self.pauses: list[float] = []

    def of(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, timed."""

        def timed(*args: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args)
            finally:
                passed = time.perf_counter() - began
                self.seconds[name] = self.seconds.get(name, 0.0) + passed
                self.calls[name] = self.calls.get(name, 0) + 1

        return timed

    def back(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call that processes the reports of a group; those at which it saves begin a pause."""

        def noted(controller: Any, group: Any, results: Any) -> Any:
            began, saved = time.perf_counter(), self.calls.get("members", 0)
            call(controller, group, results)
            if self.calls.get("members", 0) > saved:
                self._back[id(group)] = began

        return noted

    def again(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call that lets a group train: the end of its pause."""

        def noted(controller: Any, group: Any) -> Any:
            call(controller, group)
            if id(group) in self._back:
                self.pauses.append(time.perf_counter() - self._back.pop(id(group)))

        return noted


def one(kind: str, members: int, scheduler: str, groups: int) -> dict[str, Any]:
    """Runs a sweep in this process. Returns what it took."""
    import rltune
    from rltune.callbacks.base import Callback, EvaluationStarted, StatusChanged
    from rltune.sweeps.ray_adapter.batch_controller import BatchController
    from rltune.sweeps.sweep_state import SweepState

    class Clock(Callback):
        """Notes when training begins, and when it ends."""

        began: tuple[float, float] | None = None
        ended: tuple[float, float] | None = None

        def on_status(self, event: StatusChanged) -> None:
            self.began = self.began or (time.process_time(), time.perf_counter())
            self.ended = (time.process_time(), time.perf_counter())

        def on_evaluation(self, event: EvaluationStarted) -> None:
            self.ended = (time.process_time(), time.perf_counter())

    clock, times = Clock(), Times()
    write, process = SweepState.write, BatchController._process
    saved, again = BatchController._saved, BatchController._train
    with (
        tempfile.TemporaryDirectory() as storage,
        mock.patch.object(SweepState, "write", times.of("state", write)),
        mock.patch.object(BatchController, "_process", times.back(process)),
        mock.patch.object(BatchController, "_saved", times.of("members", saved)),
        mock.patch.object(BatchController, "_train", times.again(again)),
    ):
        common = {"trials": members, "scheduler": scheduler, "storage": storage, "report": False}
        if kind == "batch":
            population = {"perturb_every": INTERVAL * STEPS} if scheduler != "fifo" else None
            run = rltune.sweep(
                "ppo",
                "cartpole",
                settings=SETTINGS,
                batch=-(-members // groups),
                steps=REPORTS * STEPS,
                population=population,
                target=float("inf"),
                episodes=1,
                selection_episodes=1,
                callbacks=[clock],
                **common,  # type: ignore[arg-type]
            )
        else:
            space = {"lr": {"log": [1e-5, 1e-1]}}
            common["scheduler"] = "fifo"
            run = rltune.tune(
                train,
                space,
                metric="score",
                steps=REPORTS,
                callbacks=[clock],
                **common,  # type: ignore[arg-type]
            )
        assert clock.began
        assert clock.ended
        files = Path(run.folder.path).glob("state*")
        reports = sum(len(run.folder.reports(name)) for name in run.folder.trials())
        return {
            "kind": kind,
            "members": members,
            "groups": groups,
            "scheduler": common["scheduler"],
            "reports": reports,
            "cpu": clock.ended[0] - clock.began[0],
            "wall": clock.ended[1] - clock.began[1],
            "saving": times.seconds["state"],
            "saves": times.calls["state"],
            "disk": sum(path.stat().st_size for path in files) / 1e6,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
            "pauses": sorted(times.pauses),
        }


def decisions(members: int, name: str) -> dict[str, Any]:
    """What a scheduler alone takes, on returns that are drawn. Returns what it took."""
    import numpy as np

    from rltune import schedulers
    from rltune.request.resolve import make_spec
    from rltune.runs import checkpoints
    from rltune.schedulers.base import SchedulerContext
    from rltune.tasks.rl import RLTask

    rng, every = np.random.default_rng(0), 1_000
    spec = make_spec(
        "ppo",
        "cartpole",
        scheduler=name,
        trials=members,
        steps=REPORTS * every,
        target=float("inf"),
        population={"perturb_every": every},
    )
    checkpoint = Path(tempfile.mkdtemp())  # of every member
    checkpoints.seal(checkpoint, spec.algo)
    context = SchedulerContext(spec, lambda _: checkpoint, mutable=RLTask(spec).mutable())
    scheduler = schedulers.build(context)
    trials = [f"t{number:02d}" for number in range(members)]
    for trial in trials:
        scheduler.added(trial, {**spec.settings, "seed": 0})
    began = time.process_time()
    for step in range(1, REPORTS + 1):
        for trial in trials:
            report = {"env_steps": step * every, "episode_reward_mean": float(rng.normal())}
            scheduler.reported(trial, report, others_wait=False)
            scheduler.saved(trial)
        waiting = dict.fromkeys(trials)
        while (trial := scheduler.choose(list(waiting)).start) is not None:
            del waiting[trial]
    passed = time.process_time() - began
    shutil.rmtree(checkpoint)
    return {
        "kind": "decisions",
        "members": members,
        "groups": 1,
        "scheduler": name,
        "reports": REPORTS * members,
        "cpu": passed,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Measurements as a table in Markdown."""
    head = [
        *("", "members", "reports", "a report", "a member", "saving the state", "saves"),
        *("state", "memory", "waits"),
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [
            f"{row['kind']}, {row['scheduler']}",
            f"{row['members']:,}",
            f"{row['reports']:,}",
            f"{1e3 * row['cpu'] / row['reports']:.2f} ms",
            f"{1e3 * row['cpu'] / row['members']:.1f} ms",
            f"{row['saving']:.2f} s" if "saving" in row else "",
            f"{row['saves']:,}" if "saves" in row else "",
            f"{row['disk']:.1f} MB" if "disk" in row else "",
            f"{row['memory']:.0f} MB",
            f"{sum(row['pauses']) / row['groups']:.1f} s" if row.get("pauses") else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    kinds = ("batch", "functions", "decisions")
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=list(kinds))
    parser.add_argument("--members", nargs="+", type=int, default=[125, 250, 500, 1_000])
    parser.add_argument("--scheduler", choices=("pbt", "pb2", "asha", "fifo"), default="pbt")
    parser.add_argument("--groups", type=int, default=2, help="processes that hold a batch: 2")
    parser.add_argument("--out", type=Path, help="file of measurements, one a line")
    parser.add_argument("--report", action="store_true", help="the table of what is in the file")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind, members = options.kinds[0], options.members[0]
        if kind == "decisions":
            measured = decisions(members, options.scheduler)
        else:
            measured = one(kind, members, options.scheduler, options.groups)
        print(json.dumps(measured))
        return
    rows = []
    if options.out and options.out.exists():
        rows = [json.loads(line) for line in options.out.read_text().splitlines()]
    for kind in [] if options.report else options.kinds:
        for members in options.members:
            asked = ["--kinds", kind, "--members", str(members), "--scheduler", options.scheduler]
            asked += ["--groups", str(options.groups)]
            words = [sys.executable, __file__, "--one", *asked]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
            if options.out:
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
