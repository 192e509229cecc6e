"""Measures what many trials cost the process that drives them, beside plain Ray Tune.

    python scripts/bench_scale.py --out scale.jsonl                 # every side, half an hour
    python scripts/bench_scale.py --trials 50 --sides rltune        # a few of them
    python scripts/bench_scale.py --out scale.jsonl --report        # tables alone
    python scripts/bench_scale.py --presets                         # what an hour of each trains

Trials do nothing: each reports a number five times, with a checkpoint of a few bytes each time, two
trials at a time. ``rltune`` is :func:`rltune.tune`; ``tune`` is a ``tune.Tuner`` of the same trial
with Tune's own loggers, its workers kept from one trial to the next. Of the driving process alone,
from the first trial's start to the sweep's end, these are printed: processor seconds of each report
and of each trial, seconds in which the state was saved, what the state takes on the disk and the
peak memory. A cost is linear where a report costs the same with any number of trials.

``members`` are populations on a table of :mod:`rltune.simulator`, whose training costs nothing:
what is left is the scheduler, its decisions and their records. ``list`` is how long ``rltune list
runs`` takes over many runs.
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

#: Reports of a trial.
REPORTS = 5
SLOTS = 2
SIDES = ("rltune", "tune")


class Costs:
    """What a sweep takes of this process, from its first trial's start.

    Attributes:
        seconds: that passed in the calls that save a state, and calls: how many there were.
    """

    def __init__(self) -> None:
        self.seconds, self.calls = 0.0, 0
        self._began: tuple[float, float] | None = None

    def start(self) -> None:
        """Notes the first of its calls."""
        self._began = self._began or (time.process_time(), time.perf_counter())

    @property
    def passed(self) -> tuple[float, float]:
        """Processor seconds and seconds since then."""
        assert self._began
        return time.process_time() - self._began[0], time.perf_counter() - self._began[1]

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, timed."""

        def of(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - began
                self.calls += 1

        return of


def train(config: Mapping[str, Any]) -> None:
    """Reports a score, with a checkpoint, each time."""
    import rltune

    began = (rltune.get_checkpoint() or {"step": 0})["step"]
    for step in range(began + 1, REPORTS + 1):
        rltune.report({"score": step * config["lr"]}, checkpoint={"step": step})


def of_rltune(trials: int, folder: Path, costs: Costs) -> Path:
    """Runs the trials by rltune. Returns where their state is."""
    import rltune
    from rltune.callbacks.base import Callback, StatusChanged
    from rltune.sweeps.sweep_state import SweepState

    class Clock(Callback):
        """Notes when the first trial starts."""

        def on_status(self, event: StatusChanged) -> None:
            costs.start()

    with mock.patch.object(SweepState, "write", costs.timed(SweepState.write)):
        run = rltune.tune(
            train,
            {"lr": {"log": [1e-5, 1e-1]}},
            metric="score",
            steps=REPORTS,
            trials=trials,
            scheduler="fifo",
            searcher="random",
            concurrent=SLOTS,
            storage=folder,
            report=False,
            callbacks=[Clock()],
        )
    summary = run.folder.summary
    assert summary is not None
    assert {trial.status for trial in summary.trials} == {"TERMINATED"}
    assert sum(len(run.folder.reports(name)) for name in run.folder.trials()) == trials * REPORTS
    return Path(run.folder.path)


def of_tune(trials: int, folder: Path, costs: Costs) -> Path:
    """Runs the trials by plain Ray Tune. Returns where their state is."""
    import ray
    from ray import tune
    from ray.tune.execution.tune_controller import TuneController

    class Train(tune.Trainable):
        """What ``train`` does."""

        def step(self) -> dict[str, Any]:
            step = self.iteration + 1
            return {
                "score": step * self.config["lr"],
                "done": step == REPORTS,
                "should_checkpoint": True,
            }

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            (Path(checkpoint_dir) / "step.json").write_text(json.dumps(self.iteration))

        def load_checkpoint(self, checkpoint_dir: str | dict[str, Any] | None) -> None:
            """Nothing is kept but the count, which Tune restores."""

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.config = new_config
            return True

    class Clock(tune.Callback):
        """Notes when the first trial starts."""

        def on_trial_start(self, *_: Any, **__: Any) -> None:
            costs.start()

    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    ray.init("local", num_cpus=SLOTS, **quiet)
    save = TuneController.checkpoint
    with mock.patch.object(TuneController, "checkpoint", costs.timed(save)):
        results = tune.Tuner(
            Train,
            param_space={"lr": tune.loguniform(1e-5, 1e-1)},
            tune_config=tune.TuneConfig(
                metric="score", mode="max", num_samples=trials, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(folder),
                verbose=0,
                callbacks=[Clock()],
                checkpoint_config=tune.CheckpointConfig(num_to_keep=2, checkpoint_frequency=1),
            ),
        ).fit()
    assert len(results) == trials
    assert not results.errors
    assert all(result.metrics["training_iteration"] == REPORTS for result in results)
    ray.shutdown()
    return folder / "sweep"


def one(side: str, trials: int) -> dict[str, Any]:
    """Runs a side in this process. Returns what it took."""
    costs = Costs()
    with tempfile.TemporaryDirectory() as name:
        path = (of_rltune if side == "rltune" else of_tune)(trials, Path(name), costs)
        processor, wall = costs.passed
        state = [
            file
            for pattern in ("state*", "experiment_state*", "*.pkl")
            for file in path.glob(pattern)
        ]
        return {
            "side": side,
            "trials": trials,
            "cpu": processor,
            "wall": wall,
            "saving": costs.seconds,
            "saves": costs.calls,
            "disk": sum(file.stat().st_size for file in state) / 1e6,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        }


def members(count: int) -> dict[str, Any]:
    """Runs a population of members on a table, in this process. Returns what a report cost."""
    import rltune

    def score(settings: Mapping[str, Any], env_steps: float) -> float:
        return float(env_steps * settings["lr"])

    row: dict[str, Any] = {"members": count}
    for scheduler in ("pbt", "pb2", "asha"):
        began = time.process_time()
        run = rltune.simulate(
            score,
            {"lr": {"log": [1e-5, 1e-1]}},
            scheduler=scheduler,
            trials=count,
            concurrent=count,
            steps=20_000,
            **({} if scheduler == "asha" else {"perturb_every": 1_000}),  # type: ignore[arg-type]
        )
        reports = sum(len(trial.reports) for trial in run.trials)
        row[scheduler] = (time.process_time() - began) / reports
    return row


def listing(runs: int) -> dict[str, Any]:
    """Times ``rltune list runs`` over copies of a short run."""
    with tempfile.TemporaryDirectory() as name:
        path = of_rltune(4, Path(name), Costs())
        storage = path.parent / "many"
        for number in range(runs):
            shutil.copytree(path, storage / f"run-{number:04}")
        words = [sys.executable, "-m", "rltune", "list", "runs", "--storage", str(storage)]
        began = time.perf_counter()
        shown = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
        seconds = time.perf_counter() - began
    assert shown.count("run-") >= runs
    return {"runs": runs, "seconds": seconds}


def presets() -> str:
    """What each preset trains in an hour of one core, by its certificate, as a table.

    A seed that trained in a batch took its share of the batch's seconds.
    """
    from rltune import catalog
    from rltune.policies import certificates

    cells = []
    for algo, env in catalog.preset_names():
        preset = catalog.preset(algo, catalog.environment(env))
        found = certificates.standing(preset)
        if found is None:
            continue
        seeds = certificates.together(found)
        each, _ = certificates.share_of(found["seconds_to_threshold"], found)
        steps = found["env_steps"] / found["train_seconds"] * seeds
        sweep = preset.budget.trials * preset.budget.steps / steps / 3600
        cells.append(
            [
                f"{algo} {env}",
                f"{3600 * steps / 1e6:.1f}",
                "-" if each is None else f"{3600 / each:,.0f}",
                f"{sweep:.2f}",
            ]
        )
    return table(["preset", "million steps", "policies solved", "hours of a sweep, at most"], cells)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def report(rows: list[dict[str, Any]]) -> str:
    """All tables."""
    tables = []
    sides = sorted((row for row in rows if "side" in row), key=lambda row: row["trials"])
    if sides:
        head = ["trials", "side", "a report", "a trial", "wall", "saving", "saves"]
        cells = [
            [
                f"{row['trials']:,}",
                row["side"],
                f"{1e3 * row['cpu'] / row['trials'] / REPORTS:.1f} ms",
                f"{1e3 * row['cpu'] / row['trials']:.0f} ms",
                f"{row['wall']:.0f} s",
                f"{row['saving']:.1f} s",
                f"{row['saves']:,}",
                f"{row['disk']:.1f} MB",
                f"{row['memory']:.0f} MB",
            ]
            for row in sides
        ]
        tables.append(table([*head, "state", "memory"], cells))
    if populations := [row for row in rows if "members" in row]:
        methods = ("pbt", "pb2", "asha")
        cells = [
            [f"{row['members']}", *(f"{1e3 * row[method]:.2f} ms" for method in methods)]
            for row in populations
        ]
        tables.append(table(["members", *methods], cells))
    if lists := [row for row in rows if "runs" in row]:
        cells = [[f"{row['runs']}", f"{row['seconds']:.2f} s"] for row in lists]
        tables.append(table(["runs", "rltune list runs"], cells))
    return "\n\n".join(tables)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--trials", nargs="+", type=int, default=[50, 400, 2_000])
    parser.add_argument("--members", nargs="*", type=int, default=[4, 16, 64, 256])
    parser.add_argument("--runs", nargs="*", type=int, default=[50, 500])
    parser.add_argument("--out", type=Path, help="file of measurements, one a line")
    parser.add_argument("--report", action="store_true", help="the tables of what is in the file")
    parser.add_argument("--presets", action="store_true", help="the table of presets alone")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.presets:
        print(presets())
        return
    if options.one:
        what, _, size = options.one.partition("=")
        measure = {"members": members, "runs": listing}.get(what)
        print(json.dumps(measure(int(size)) if measure else one(what, int(size))))
        return
    rows = []
    if options.out and options.out.exists():
        rows = [json.loads(line) for line in options.out.read_text().splitlines()]
    asked = [f"members={count}" for count in options.members]
    asked += [f"runs={count}" for count in options.runs]
    asked += [f"{side}={trials}" for trials in options.trials for side in options.sides]
    for words in [] if options.report else asked:
        command = [sys.executable, __file__, "--one", words]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
        if options.out:
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print(report(rows))


if __name__ == "__main__":
    main()
