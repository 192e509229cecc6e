"""The run folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rltune.errors import BadInput
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.names import default_name
from rltune.runs.records import CheckpointRecord, Diverged, Report
from rltune.spec import RunSpec


@pytest.fixture
def spec(tmp_path: Path) -> RunSpec:
    return make_spec("dqn", "cartpole", storage=tmp_path, name="a", command=["rltune", "dqn"])


def test_the_request_is_read_once(spec: RunSpec) -> None:
    path = RunFolder.create(spec).path
    folder = RunFolder.open(path)
    assert folder.spec is folder.spec
    (path / "run.json").unlink()
    assert folder.spec == spec
    assert folder.job.job == "sweep"
    with pytest.raises(BadInput, match="cannot be read"):
        _ = RunFolder(path).spec


def test_run_json_holds_the_whole_request(spec: RunSpec) -> None:
    folder = RunFolder.create(spec)
    assert RunFolder.open(folder.path).spec == spec
    written = json.loads((folder.path / "run.json").read_text())
    assert written["versions"]["ray"].startswith("2.60")
    assert written["command"] == ["rltune", "dqn"]


def test_rows_are_read_back_without_a_cut_line(
    spec: RunSpec, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder.create(spec)
    metrics = {"episode_len_mean": 8.5, "episode_info/is_success": 0.25}
    rows = [
        Report("t00", 1, 100, 100, 0.5, None, {"lr": 1.0}),
        Report("t00", 2, 200, 100, 1.0, 9.5, {}, metrics=metrics),
    ]
    for row in rows:
        folder.append_report(row)
    path = folder.path / "trials/t00/progress.jsonl"
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert "episode_reward_mean" not in written[0]
    assert written[1]["episode_info/is_success"] == 0.25
    path.write_text(path.read_text() + '{"trial": "t0')
    assert folder.reports("t00") == rows
    assert "progress.jsonl:3" in caplog.text
    assert folder.trials() == ["t00"]


@pytest.mark.fault(58)
def test_a_file_edited_by_hand_is_read_with_a_warning(
    spec: RunSpec, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder.create(spec)
    first, second = (Report("t00", n, 100 * n, 100, 0.5, 1.0, {}) for n in (1, 2))
    folder.append_report(first)
    path = folder.path / "trials/t00/progress.jsonl"
    path.write_text(
        path.read_text() + '{"trial": "t00"}\n["a list"]\nnonsense\n' + '{"trial": "t00", "cut'
    )
    folder.append_report(second)
    assert folder.reports("t00") == [first, second], "a cut line does not take the next one along"
    assert caplog.text.count("left out") == 4
    extended = {**second.to_dict(), "comment": "looks odd", "training_iteration": 3}
    with path.open("a") as file:
        file.write(json.dumps(extended) + "\n")
    assert folder.reports("t00")[-1] == replace(second, training_iteration=3)


def test_rows_past_a_checkpoint_are_moved_and_never_counted_twice(spec: RunSpec) -> None:
    folder = RunFolder.create(spec)
    rows = [Report("t00", n, 100 * n, 100, 0.5 + n, 1.0, {}) for n in range(1, 5)]
    for row in rows:
        folder.append_report(row)
    before = (folder.path / "trials/t00/progress.jsonl").read_text()
    for _again in range(2):  # a crash after the first half of the move
        (folder.path / "trials/t00/progress.jsonl").write_text(before)
        folder.discard_reports("t00", 200)
    assert folder.reports("t00") == rows[:2]
    assert folder.discarded("t00") == rows[2:]
    folder.discard_reports("t09", 0)
    assert folder.trials() == ["t00"]


def test_checkpoints_of_a_diverged_trial_are_ignored(spec: RunSpec) -> None:
    folder = RunFolder.create(spec)
    for trial, diverged in (
        ("t00", Diverged(9, "loss", "nan")),
        ("t01", None),
    ):
        folder.append_report(Report(trial, 1, 10, 10, 0.5, 1.0, {}, diverged))
        path = folder.path / "trials" / trial / "checkpoints" / "checkpoint_000000"
        path.mkdir(parents=True)
        record = {"episode_returns": [5.0], "window": 1, "env_steps": 9}
        (path / "record.json").write_text(json.dumps(record))
    assert [path.parts[-3] for path in folder.checkpoints()] == ["t01"]
    assert folder.diverged("t00") == Diverged(9, "loss", "nan")


def test_the_best_checkpoint_is_replaced_whole(spec: RunSpec, tmp_path: Path) -> None:
    folder = RunFolder.create(spec)
    for content in ("first", "second"):
        source = tmp_path / content
        source.mkdir()
        record = CheckpointRecord(trial_id=content, env_steps=1, episode_returns=[], window=1)
        record.write(source)
        folder.keep_best(source, "t03")
        assert folder.best_record == replace(record, trial="t03")
    assert [path.name for path in (folder.path / "best").iterdir()] == ["checkpoint"]


def test_checkpoints_are_ordered_by_their_own_record(spec: RunSpec) -> None:
    folder = RunFolder.create(spec)
    records = {
        "t00/checkpoints/a": ([500.0], 900),  # one lucky episode is no full window
        "t00/checkpoints/b": ([90.0, 110.0], 800),
        "t01/checkpoints/a": ([200.0, 210.0], 100),
        "t01/checkpoints/b": ([100.0, 100.0], 900),
        "t02/checkpoints/a": ([], 10),
    }
    for name, (returns, steps) in records.items():
        path = folder.path / "trials" / name
        path.mkdir(parents=True)
        record = {"episode_returns": returns, "window": 2, "env_steps": steps}
        (path / "record.json").write_text(json.dumps(record))
    order = [str(path.relative_to(folder.path / "trials")) for path in folder.checkpoints()]
    assert order == [
        "t01/checkpoints/a",
        "t01/checkpoints/b",
        "t00/checkpoints/b",
        "t00/checkpoints/a",
        "t02/checkpoints/a",
    ]


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no run folder"):
        RunFolder.open(tmp_path)


def test_default_names_are_valid_and_differ(tmp_path: Path, spec: RunSpec) -> None:
    name = default_name("ppo", "ALE/Pong-v5", tmp_path)
    assert name.startswith("ppo-ALE-Pong-v5-20")
    (tmp_path / name).mkdir()
    RunFolder.create(replace(spec, name=name + "-2"))
    other = default_name("ppo", "ALE/Pong-v5", tmp_path)
    assert other not in {name, name + "-2"}
