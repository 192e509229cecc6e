"""Lists the scores of the certified presets and the published figures of RL Zoo3 and CleanRL.

    python scripts/bench_presets.py                             # prints docs/benchmarks.md's table
    python scripts/bench_presets.py --certify ppo/cartpole ...  # certifies these presets first
    python scripts/bench_presets.py --certify                   # certifies all in the table again
    python scripts/bench_presets.py --sweep ppo/cartpole ...    # what a sweep finds beside them

The table is read from the certificates that `rltune certify` writes beside the catalog. RL Zoo3's
figures are of one training run each, mean and standard deviation over episodes, some on older
versions of an environment; CleanRL's are means over several seeds after 500k steps (MuJoCo: 1M,
on the v4 environments).

A sweep that has been run, in a folder --storage/ALGO-ENV, is read and not run again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import rltune
from rltune import catalog
from rltune.policies import certificates
from rltune.policies.certificates import Certificate
from rltune.reports.numbers import number

#: Score and environment steps in one training run.
RL_ZOO3 = {
    ("dqn", "cartpole"): ("500.0 ± 0.0", "50k"),
    ("dqn", "acrobot"): ("-76.6 ± 11.8", "100k"),
    ("dqn", "mountaincar"): ("-100.8 ± 9.9", "120k"),
    ("dqn", "lunarlander"): ("154.4 ± 79.2", "100k"),
    ("ppo", "cartpole"): ("500.0 ± 0.0", "100k"),
    ("ppo", "acrobot"): ("-73.5 ± 18.2", "1M"),
    ("ppo", "mountaincar"): ("-110.4 ± 19.5", "1M"),
    ("ppo", "lunarlander"): ("242.1 ± 31.8", "1M"),
    ("ppo", "pendulum"): ("-172.2 ± 104.2", "100k"),
    ("ppo", "bipedalwalker"): ("287.9 ± 2.4", "5M"),
    ("ppo", "halfcheetah"): ("5819 ± 664", "1M"),
    ("ppo", "hopper"): ("2410 ± 10", "1M"),
    ("ppo", "minigrid-empty-random"): ("0.968 ± 0.013", "100k"),
    ("sac", "pendulum"): ("-157", "20k"),
    ("sac", "bipedalwalker"): ("298", "500k"),
}
CLEAN_RL = {
    ("dqn", "cartpole"): "488.7 ± 16.1",
    ("dqn", "acrobot"): "-91.5 ± 7.2",
    ("ppo", "cartpole"): "490.0 ± 6.1",
    ("ppo", "acrobot"): "-86.4 ± 1.3",
    ("ppo", "halfcheetah"): "1442.6 ± 46",
    ("ppo", "hopper"): "2382.9 ± 272",
}
HEADER = """\
| preset | threshold | seeds over it | IQM [95 %] | steps to it | seconds to it | steps in all \
| optimism gap | RL Zoo3, one run | CleanRL |
|---|---|---|---|---|---|---|---|---|---|"""


def table() -> str:
    """Formats all certificates in Markdown, by environment."""
    found = {key: certificates.read(certificates.place(*key)) for key in catalog.preset_names()}
    by_env = sorted(found.items(), key=lambda item: item[0][::-1])
    return "\n".join([HEADER, *(_row(*item) for item in by_env if item[1] is not None)])


def _row(key: tuple[str, str], found: Certificate | None) -> str:
    assert found is not None
    standing = certificates.standing(catalog.preset(key[0], catalog.environment(key[1])))
    assert standing is not None
    seconds, mark = certificates.share_of(found.seconds_to_threshold, standing)
    cells = [
        " ".join(key) + (" (EnvPool)" if "envpool" in found.versions else ""),
        number(found.threshold),
        certificates.in_words(standing).removesuffix(" seeds"),
        _interval(found.iqm, found.ci95),
        number(found.env_steps_to_threshold),
        "-" if seconds is None else f"{seconds:.{0 if seconds >= 10 else 1}f}{mark}",
        number(found.env_steps),
        number(found.optimism_gap),
        " in ".join(RL_ZOO3.get(key, ("-",))),
        CLEAN_RL.get(key, "-"),
    ]
    return f"| {' | '.join(cells)} |"


def certify(names: list[str], seeds: int) -> None:
    """Runs `rltune certify` for presets written as algo/env, or for all certified presets.

    The seed is the certificate's own, where there is one: the figures are to come out again.
    """
    before = {key: certificates.read(certificates.place(*key)) for key in catalog.preset_names()}
    pairs = [tuple(name.split("/")) for name in names] or [key for key in before if before[key]]
    for algo, env in pairs:
        certificate = before.get((algo, env))
        seed = certificate.seed if certificate else 0
        words = ["rltune", "certify", algo, env, "--seeds", str(seeds), "--seed", str(seed)]
        print(*words, file=sys.stderr, flush=True)
        # A preset that fails has a certificate that says so.
        subprocess.run([sys.executable, "-m", *words], check=False)


#: Options that tune a preset: trials with different settings, the worse half ended early.
SWEEP = "--scheduler asha --searcher sobol --trials 8 --concurrent 1 --target inf".split()
SWEEP_HEADER = """\
| preset | threshold | certified, IQM [95 %] | the sweep's best [95 %] | steps of the sweep |
|---|---|---|---|---|"""


def sweep(names: list[str], storage: Path) -> None:
    """Tunes presets written as algo/env and prints the results beside their certificates."""
    print(SWEEP_HEADER)
    for algo, env in (name.split("/") for name in names):
        path = storage / f"{algo}-{env}"
        if not (path / "summary.json").exists():
            words = ["rltune", algo, env, *SWEEP, "--name", path.name, "--storage", str(storage)]
            print(*words, file=sys.stderr, flush=True)
            subprocess.run([sys.executable, "-m", *words], check=True, stdout=sys.stderr)
        print(_sweep_row(algo, env, rltune.load(path)), flush=True)


def _sweep_row(algo: str, env: str, run: rltune.Run) -> str:
    found = certificates.read(certificates.place(algo, env))
    score = run.summary["evaluation"]
    cells = [
        f"{algo} {env}",
        number(found.threshold) if found else "-",
        _interval(found.iqm, found.ci95) if found else "-",
        _interval(score["mean"], score["ci95"]),
        number(run.summary["env_steps"]),
    ]
    return f"| {' | '.join(cells)} |"


def _interval(value: float, ci95: Sequence[float]) -> str:
    low, high = map(number, ci95)
    return f"{number(value)} [{low}, {high}]"


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--certify", nargs="*", metavar="ALGO/ENV")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sweep", nargs="+", metavar="ALGO/ENV")
    parser.add_argument("--storage", type=Path, default=Path("runs"))
    args = parser.parse_args()
    if args.sweep:
        sweep(args.sweep, args.storage)
        return
    if args.certify is not None:
        certify(args.certify, args.seeds)
    print(table())


if __name__ == "__main__":
    main()
