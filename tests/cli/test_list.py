"""``rltune list`` says what its columns are, fits 80 columns, and understands short words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Said

from rltune.catalog.algorithms import ALGORITHMS
from rltune.cli.list_ import KINDS, _certified
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.records import Phase


@pytest.mark.parametrize("kind", [*KINDS, "presets dqn", "settings dqn", "settings sac"])
def test_a_listing_fits_eighty_columns(said: Said, kind: str, tmp_path: Path) -> None:
    if kind == "runs":
        shutil.copytree(ROOT / "tests/data/runs_0_1", tmp_path / "runs")
        kind = f"runs --storage {tmp_path}/runs"
    code, shown, err = said(f"list {'settings ppo' if kind == 'settings' else kind}")
    assert (code, err) == (0, "")
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80


def test_presets_say_what_is_solved_in_how_long(said: Said) -> None:
    shown = said("list presets")[1]
    rows = json.loads(said("list presets dqn --json")[1])["presets"]
    certified = {row["env"]: row["certificate"] for row in rows if row["certificate"]}
    # Seconds of a batch: see below.
    env, alone = next((env, each) for env, each in certified.items() if each["batch"] == "off")
    (line,) = (line for line in shown.splitlines() if line.split()[:2] == ["dqn", env])
    solved = round(alone["share_over_threshold"] * alone["seeds"])
    assert f"{solved} of {alone['seeds']}" in line
    assert f"{alone['env_steps_to_threshold']:,}" in line
    assert f"{alone['seconds_to_threshold']:.0f} s" in line
    for column in ("solved", "score", "threshold", "steps", "time"):
        assert column in shown.splitlines()[0]
    assert "solved: seeds whose policy scores over the threshold" in shown
    assert "no certificate yet, dqn: beamrider" in shown
    assert "sac" not in said("list presets dqn")[1]


def _time_of(**certificate: Any) -> str:
    """The time that the list of presets shows of a certificate."""
    body = {"algo": "ppo", "env": "cartpole", "stale": False, "iqm": 1.0}
    body |= {"share_over_threshold": 1.0, "threshold": 1.0, "env_steps_to_threshold": 1}
    shown = _certified({**body, "certificate": {**body, **certificate}})
    assert shown is not None
    return str(shown["time"])


@pytest.mark.parametrize(("batch", "together"), [("off", 1), ("4", 4), ("50", 10), ("auto", 10)])
def test_a_seed_of_a_batch_takes_its_share_of_the_seconds(batch: str, together: int) -> None:
    assert _time_of(
        seeds=10, seconds_to_threshold=100.0, batch=batch
    ) == f"{100 // together} s" + "+" * (together > 1)


def test_few_seconds_are_shown_with_a_tenth() -> None:
    """A seed's share of a batch may be less than half a second."""
    assert _time_of(seeds=100, seconds_to_threshold=34.0, batch="auto") == "0.3 s+"


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_setting_has_a_line_of_meaning(said: Said, algo: str) -> None:
    rows = json.loads(said(f"list settings {algo} --json")[1])["settings"]
    assert [row["setting"] for row in rows] == list(ALGORITHMS[algo].settings)
    for row in rows:
        assert len(row["meaning"].split()) >= 2, row
        assert "\n" not in row["meaning"]
    shown = said(f"list settings {algo}")[1]
    assert all(f"\n{row['setting']} " in shown for row in rows)


@pytest.mark.fault(95)
@pytest.mark.parametrize(
    ("word", "kind"), [(other, name) for name, kind in KINDS.items() for other in kind.names]
)
def test_other_words_for_a_kind_are_understood(said: Said, word: str, kind: str) -> None:
    algo = "ppo" if kind == "settings" else ""
    assert said(f"list {word} {algo} --json") == said(f"list {kind} {algo} --json")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("zzz", "Unknown kind 'zzz'. Known: algorithms, "),
        ("enviroments", "Did you mean 'environments'?"),
        ("settings", "whose settings? rltune list settings dqn or"),
        ("settings dqm", "Did you mean 'dqn'?"),
        ("runs dqn", "lists all of them: leave 'dqn' out"),
    ],
)
def test_a_wrong_listing_is_answered(said: Said, words: str, answer: str) -> None:
    code, out, err = said(f"list {words}")
    assert (code, out) == (2, "")
    assert answer in err


def test_runs_say_when_they_started_how_they_stand_and_what_is_next(
    said: Said, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "tests/data/runs_0_1", tmp_path, dirs_exist_ok=True)
    shutil.copytree(tmp_path / "killed", tmp_path / "broken")
    (tmp_path / "broken/run.json").write_text("{")
    working = RunFolder.create(make_spec("ppo", "cartpole", storage=tmp_path, name="working"))
    working.append_phase(Phase("starting", 1795808220.0, 0, 0, 0.0))
    try:
        rows = json.loads(said(f"list runs --storage {tmp_path} --json")[1])["runs"]
    finally:
        working.lock.release()
    found = {Path(row["run"]).name: (row["state"].partition(":")[0], row["next"]) for row in rows}
    assert found == {
        "finished": ("ended", "show"),
        "killed": ("stopped", "resume"),
        "broken": ("damaged", None),
        "working": ("running", "watch"),
    }
    told = {Path(row["run"]).name: row["started"] for row in rows}
    assert told["working"] == "2026-11-27 19:37"
    assert told["finished"] == told["killed"] == "-", "the time of a file would be that of a copy"
    assert "no runs in" in said(f"list runs --storage {tmp_path}/none")[1]
