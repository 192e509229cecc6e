"""What a run in an object store costs: requests and bytes sent for each report.

    python scripts/bench_store.py [--trials 4] [REPORTS ...]

A run folder grows without training, as a sweep of PPO on CartPole lets it grow: reports,
TensorBoard curves, the saved state. After each round of reports it is sent to an S3 server here
(moto's), which counts. Checkpoints are left out: each is sent once, whatever their number.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from object_store import BUCKET, ObjectStore

from rltune.callbacks.base import Callbacks, SweepStarted, TrialReported
from rltune.callbacks.run_writer import RunWriter
from rltune.callbacks.tensorboard import TensorBoardWriter
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.records import Report
from rltune.runs.remote import mirror
from rltune.runs.state_file import StateFile


def measure(store: ObjectStore, trials: int, reports: int) -> dict[str, float]:
    """Lets a run grow to a number of reports in all, and counts."""
    spec = make_spec(
        "ppo", "cartpole", storage=f"s3://{BUCKET}/runs", name=f"grown-{reports}", trials=trials
    )
    folder = RunFolder.create(spec)
    assert folder.remote is not None
    callbacks = Callbacks(RunWriter(spec, folder), [TensorBoardWriter(spec, folder)])
    callbacks.notify(SweepStarted(spec, folder))
    state = StateFile(folder.path)
    before, sent = store.requests.copy(), store.sent
    in_sync = 0.0
    for number in range(1, reports // trials + 1):
        for trial in (f"t{index:02d}" for index in range(trials)):
            settings = {"lr": 3e-4, "gamma": 0.98, "clip_param": 0.2}
            metrics = {"episode_len_mean": 100.5, "learner/entropy": 0.5, "learner/kl": 0.01}
            row = Report(
                trial, number, number * 1_024, 1_024, number * 3.0, 100.5, settings, metrics=metrics
            )
            callbacks.notify(TrialReported(row, (), 1.0, {}))
        entries = [{"id": f"t{index:02d}", "env_steps": number} for index in range(trials)]
        state.write({"trials": entries})
        folder.remote.wait()
        started = time.process_time()
        folder.sync()
        in_sync += time.process_time() - started
    callbacks.close()
    with folder.releasing():
        pass
    wrote = sum(store.requests[method] - before[method] for method in ("PUT", "POST", "DELETE"))
    size = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
    return {
        "requests": wrote / reports,
        "sent": (store.sent - sent) / reports,
        "disk": size / reports,
        "milliseconds": 1e3 * in_sync / reports,
    }


def main() -> None:
    """Prints a row for each number of reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", type=int, nargs="*", default=[200, 2_000, 20_000])
    parser.add_argument("--trials", type=int, default=4)
    asked = parser.parse_args()
    mirror.INTERVAL = 0.0
    store = ObjectStore()
    store.start()
    os.environ.update(store.variables)
    store.make_bucket()
    print("| reports | requests that write | bytes sent | bytes on disk | ms of the sweep |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RLTUNE_CACHE"] = folder
        for reports in asked.reports:
            found = measure(store, asked.trials, reports)
            print(
                f"| {reports:,} | {found['requests']:.2f} | {found['sent']:,.0f} | "
                f"{found['disk']:,.0f} | {found['milliseconds']:.2f} |"
            )
    store.stop()


if __name__ == "__main__":
    main()
