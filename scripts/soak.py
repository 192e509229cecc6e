"""Kills drivers, workers and nodes of a sweep at random, and checks what is left in the end.

    python scripts/soak.py                            # half an hour
    python scripts/soak.py --minutes 3 --seed 7       # a short one
    python scripts/soak.py --batch 2 --scheduler pbt

A population of PPO on a CartPole that sleeps in each step (scripts/sluggish.py: its time is the
simulator's, on a busy machine too), on three Ray nodes of this machine. The sweep first runs
undisturbed, for two fifths of the time. Then the same request runs again under kill -9, at random
moments and of a random kind each: a trial's process; a node with all that runs on it, which another
one replaces after some seconds; or the command itself, which `rltune resume` then continues. The
head stays: without it there is no cluster to resume on.

Prints what was killed and both wall times, and exits with 1 unless

- every trial ended at its budget, with reports that rise and nothing counted twice;
- the disturbed sweep took at most 1.5 times as long as the undisturbed one;
- every decision that decisions.jsonl held at a kill is still there, settings changed where a
  decision says so and nowhere else, and the scheduler's state agrees (scripts/run_checks.py);
- no process, no temporary folder and no half-written file is left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from local_cluster import LOOPBACK, MARK, TOKEN, LocalCluster
from run_checks import problems

from rltune.runs.folder import RunFolder

ALLOWED_RATIO = 1.5
ROOT = Path(__file__).resolve().parents[1]
TRIALS, NODES = 6, 3
#: Environment steps a second that the nodes make together, start and end of a sweep aside.
RATE = 420
#: Environment steps of an interval.
INTERVAL = 2_000
#: Seconds of a sweep that are its start and its end.
AROUND = 25.0
PRESET = """\
[budget]
steps = {steps}
trials = {trials}
perturb_every = {interval}
target = inf
[evaluation]
episodes = 5
selection_episodes = 3
[settings]
min_sample_timesteps_per_iteration = 1_000
"""
#: Kinds of kills, and how often each comes.
KINDS = {"worker": 3, "node": 2, "driver": 2}
#: Seconds until a node that was lost is replaced.
REPLACED = (5.0, 15.0)
#: Seconds until what a driver or a cluster has left behind must be gone.
PATIENCE = 90.0


class Command:
    """A sweep as a user runs it, and continues it after it was killed."""

    def __init__(self, folder: Path, name: str, words: list[str], cluster: LocalCluster) -> None:
        self.path = folder / "runs" / name
        self._folder, self._address = folder, cluster.address
        self._words = [*words, "--name", name, "--address", cluster.address]
        self._log = (folder / f"{name}.log").open("ab")
        self._around = {**os.environ, **LOOPBACK, TOKEN: cluster.token, MARK: str(folder)}
        self._around |= {"TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT)}
        self.start()

    def start(self) -> None:
        """Starts the sweep, or continues it."""
        has_begun = (self.path / "run.json").exists()
        words = ["resume", str(self.path), "--address", self._address]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rltune", *(words if has_begun else self._words), "--quiet"],
            cwd=self._folder,
            env=self._around,
            stdout=self._log,
            stderr=self._log,
        )

    def decisions(self) -> list[str]:
        """The whole lines of decisions.jsonl."""
        file = self.path / "decisions.jsonl"
        return file.read_text().split("\n")[:-1] if file.exists() else []

    def end(self) -> None:
        """Raises CalledProcessError where it did not end well."""
        self._log.close()
        if code := self.process.wait():
            raise subprocess.CalledProcessError(code, self._words)


class Chaos:
    """Kills a part of a sweep whenever it is time.

    Attributes:
        killed: seconds since the start, and what was killed then.
        lost: lines of decisions.jsonl that were there at a kill and are gone.
    """

    def __init__(self, command: Command, cluster: LocalCluster, seed: int, every: float) -> None:
        self._command, self._cluster, self._every = command, cluster, every
        self._rng = random.Random(seed)
        self._began = time.monotonic()
        self._next = self._began + AROUND / 2
        self._replace: list[float] = []
        self._known: list[str] = []
        self.killed: list[tuple[float, str]] = []
        self.lost: set[str] = set()

    def look(self) -> None:
        """Kills something if its time has come, and replaces nodes that were lost."""
        now = time.monotonic()
        for due in [due for due in self._replace if due <= now]:
            self._replace.remove(due)
            self._cluster.add()
        if now < self._next:
            return
        (kind,) = self._rng.choices(list(KINDS), list(KINDS.values()))
        kills: dict[str, Callable[[], bool]] = {
            "worker": self._kill_worker,
            "node": self._kill_node,
            "driver": self._kill_driver,
        }
        if not kills[kind]():
            return  # nothing of the kind is there now: looks again
        self.killed.append((round(now - self._began, 1), kind))
        self._next = now + self._rng.uniform(0.5, 1.5) * self._every

    def _kill_worker(self) -> bool:
        found = self._cluster.workers("PPO", "MemberGroup")
        if found:
            _kill(self._rng.choice(sorted(found, key=lambda process: process.pid)))
        return bool(found)

    def _kill_node(self) -> bool:
        if not self._cluster.nodes:
            return False
        self._cluster.kill(self._rng.choice(self._cluster.nodes))
        self._replace.append(time.monotonic() + self._rng.uniform(*REPLACED))
        return True

    def _kill_driver(self) -> bool:
        self._command.process.kill()
        self._command.process.wait()
        now = self._command.decisions()
        self.lost |= set(self._known) - set(now)
        self._known = now
        self._command.start()
        return True

    def close(self) -> None:
        """Notices what was lost since the last kill, and replaces the last nodes."""
        self.lost |= set(self._known) - set(self._command.decisions())
        for _ in self._replace:
            self._cluster.add()


def soak(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """Both sweeps, and what is wrong with the second one."""
    (folder / "tmp").mkdir()
    budget = options.minutes * 60
    steps = max(2.0, RATE * (0.4 * budget - AROUND) / TRIALS / INTERVAL)
    text = PRESET.format(steps=round(steps) * INTERVAL, trials=TRIALS, interval=INTERVAL)
    (folder / "preset.toml").write_text(text)
    words = ["ppo", f"{ROOT / 'scripts' / 'sluggish.py'}:Sluggish", "--preset", "preset.toml"]
    words += ["--scheduler", options.scheduler, "--batch", options.batch, "--seed", "0"]
    words += ["--max-failures", "1000"]  # as many as it takes
    around = {"TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0"}
    cluster = LocalCluster(NODES, around)
    busy = _busy()
    try:
        calm, _ = _timed(folder, "calm", words, cluster)
        print(f"undisturbed: {calm:.0f} s", flush=True)
        every = options.every or max(30.0, budget / 30)
        wild, chaos = _timed(folder, "wild", words, cluster, options.seed, every)
        assert chaos is not None
        left = [*_left_beside(cluster, folder)]
    finally:
        left_of_nodes = cluster.close()
    found = problems(RunFolder.open(folder / "runs" / "wild"))
    found += [f"a decision is gone: {line}" for line in sorted(chaos.lost)]
    found += left + [f"still runs: {words}" for words in left_of_nodes]
    found += [f"left: {path}" for path in (folder / "tmp").rglob("*")]
    if wild > ALLOWED_RATIO * calm:
        found.append(f"{wild / calm:.2f} times the undisturbed sweep")
    return {
        "seed": options.seed,
        "words": " ".join(words[2:]),
        "undisturbed_seconds": round(calm, 1),
        "disturbed_seconds": round(wild, 1),
        "ratio": round(wild / calm, 3),
        "kills": dict(Counter(kind for _, kind in chaos.killed)),
        "killed": chaos.killed,
        "machine_busy": round(_busy() - busy, 2),
        "problems": found,
    }


def _timed(
    folder: Path,
    name: str,
    words: list[str],
    cluster: LocalCluster,
    seed: int | None = None,
    every: float = 0.0,
) -> tuple[float, Chaos | None]:
    """Seconds from a sweep's first start to its end, under chaos where a seed is given."""
    began = time.monotonic()
    command = Command(folder, name, words, cluster)
    chaos = None if seed is None else Chaos(command, cluster, seed, every)
    try:
        while command.process.poll() is None:
            if chaos is not None:
                chaos.look()
            time.sleep(0.2)
    finally:
        _kill(command.process)
    seconds = time.monotonic() - began
    command.end()
    if chaos is not None:
        chaos.close()
    return seconds, chaos


def _left_beside(cluster: LocalCluster, folder: Path) -> Iterator[str]:
    """Processes of drivers and trials that outlive them, while the cluster runs."""
    deadline = time.monotonic() + PATIENCE
    while (left := [*cluster.workers("PPO", "MemberGroup"), *_children(folder)]) and (
        time.monotonic() < deadline
    ):
        time.sleep(1)
    for process in left:
        with suppress(psutil.Error):
            yield f"still runs: {' '.join(process.cmdline())}"


def _children(folder: Path) -> Iterator[psutil.Process]:
    """Processes that a driver has started, their parent may have ended."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(folder):
                yield process


def _kill(process: psutil.Process | subprocess.Popen[bytes]) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def _busy() -> float:
    """Seconds of all processors that were busy."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def main() -> None:
    """Soaks, prints the result, and exits with 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--every", type=float, help="seconds between kills, on average")
    parser.add_argument("--scheduler", default="pb2")
    parser.add_argument("--batch", default="off")
    parser.add_argument("--keep", type=Path, help="folder to work in, which is kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak") as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        folder.mkdir(exist_ok=True)
        result = soak(folder, options)
    print(json.dumps(result, indent=1))
    sys.exit(bool(result["problems"]))


if __name__ == "__main__":
    main()
