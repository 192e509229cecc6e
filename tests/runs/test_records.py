"""What a run folder's JSON files must be like, and what becomes of one that is not."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from trained import concluded, trained

from rltune import schema
from rltune.cli import main
from rltune.cli.outcome import outcome
from rltune.cli.sweep import conclude
from rltune.errors import BadInput, TrialsFailed
from rltune.request.trust import adopt
from rltune.runs.folder import RunFolder
from rltune.runs.records import Failure, Report
from rltune.spec import JobSpec

#: Of each type that JSON has.
VALUES = (None, True, -7, 1.5, "text", "inf", [], [1, "two"], {}, {"a": None})


@dataclass
class Shape:
    whole: int
    number: float | None
    pair: tuple[float, float]
    table: Mapping[str, list[str]]
    word: Literal["a", "b"] = "a"


GOOD = {"whole": 1, "number": None, "pair": [1, 2.5], "table": {"x": ["y"]}}


@pytest.mark.fault(98)
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"number": 3}, None),
        ({"word": "b"}, None),
        ({"whole": True}, "whole: expected a whole number, got True"),
        ({"whole": 1.0}, "whole: expected a whole number, got 1.0"),
        ({"number": "x"}, "number: expected a number, got 'x'"),
        ({"pair": [1]}, "pair: expected a list of 2, got [1]"),
        ({"pair": [1, None]}, "pair: expected a number, got null"),
        ({"table": {"x": [1]}}, "table.x[0]: expected text, got 1"),
        ({"table": []}, "table: expected a table, got []"),
        ({"word": "c"}, "word: expected 'a' or 'b', got 'c'"),
        ({"more": 1}, "more is unknown"),
    ],
)
def test_a_value_is_checked_against_its_type(changes: dict[str, Any], problem: str | None) -> None:
    assert schema.problems({**GOOD, **changes}, Shape) == ([problem] if problem else [])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> RunFolder:
    """A finished run of one trial."""
    folder = trained(tmp_path_factory.mktemp("runs"), "ppo", "cartpole", num_epochs=1)
    record = folder.best_record
    assert record is not None
    folder.append_report(Report("t00", 1, 2048, 2048, 1.0, 10.0, record.settings or {}))
    folder.append_failure("t00", Failure(error="boom", env_steps=1))
    spec = json.loads((folder.path / "run.json").read_text())
    spec["evaluation"] = {"episodes": 2, "selection_episodes": 1}
    (folder.path / "run.json").write_text(json.dumps(spec))
    folder = RunFolder(folder.path)
    concluded(folder, "t00")
    return folder


def mutations(body: dict[str, Any], deep: bool) -> Iterator[dict[str, Any]]:
    """The contents of a file with each entry replaced by values of other types, and left out."""
    places: list[tuple[str, ...]] = [(key,) for key in body]
    if deep:
        tables = [(key, value) for key, value in body.items() if isinstance(value, dict)]
        places += [(key, name) for key, value in tables for name in value]
    for place in places:
        for value in (..., *VALUES):
            changed = copy.deepcopy(body)
            table = changed if len(place) == 1 else changed[place[0]]
            if value is ...:
                del table[place[-1]]
            else:
                table[place[-1]] = value
            yield changed


def use(folder: RunFolder) -> None:
    """Reads all that commands read of a run."""
    spec, summary = folder.spec, folder.summary
    folder.checkpoints()
    if folder.best_record is None or summary is None:
        return
    if summary.best is not None:
        outcome(spec, JobSpec(), summary)
    conclude(folder, json=False)
    spec.trial_seed(0)
    assert spec.cpus_of_a_trial > 0
    assert spec.copies_of_a_trial > 0


def refusal(folder: RunFolder) -> list[str]:
    """Why a run is refused; empty where it is used."""
    try:
        use(folder)
    except BadInput as error:
        return error.problems
    except TrialsFailed:
        pass
    return []


@pytest.mark.fault(98)
@pytest.mark.parametrize("name", ["run.json", "summary.json", "best/checkpoint/record.json"])
def test_any_file_is_read_or_refused_by_name(whole: RunFolder, tmp_path: Path, name: str) -> None:
    place = tmp_path / "run"
    shutil.copytree(whole.path, place)
    body = json.loads((place / name).read_text())
    refused = 0
    others = [[], "text", None, 3]
    for changed in (*mutations(body, deep=name != "best/checkpoint/record.json"), *others):
        (place / name).write_text(json.dumps(changed))
        problems = refusal(RunFolder(place))
        refused += bool(problems)
        assert all(name in problem for problem in problems), problems
    assert refused > len(body) * 3
    for text in ("", "{", '{"a": ', "[" * 100_000, "\x00"):
        (place / name).write_text(text)
        with pytest.raises(BadInput, match=name):
            use(RunFolder(place))


@pytest.mark.fault(98)
@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("run.json", "[]", "expected a table, got []"),
        ("run.json", '{"algo": 3}', "env is missing"),
        ("summary.json", '{"best": 1}', "best: expected"),
        ("summary.json", "nonsense", "cannot be read"),
        ("best/checkpoint/record.json", "{}", "episode_returns is missing"),
    ],
)
def test_commands_name_a_damaged_file(
    whole: RunFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
    told: str,
) -> None:
    place = tmp_path / "runs" / "damaged"
    shutil.copytree(whole.path, place)
    shutil.copytree(whole.path, place.with_name("good"))
    (place / name).write_text(text)
    if name == "run.json":
        (place.with_name("damaged") / ".signed").unlink(missing_ok=True)
    else:
        adopt(RunFolder(place))
    commands = [["evaluate", str(place), "--episodes", "1"], ["resume", str(place)]]
    used_by = {"summary.json": commands[1:], "best/checkpoint/record.json": commands[:1]}
    for words in used_by.get(name, commands):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2, words
        said = capsys.readouterr().err
        assert name in said, words
        assert told in said, words
    with pytest.raises(SystemExit) as ended:
        main(["list", "runs", "--storage", str(place.parent), "--json"])
    assert ended.value.code == 0
    damaged, good = json.loads(capsys.readouterr().out)["runs"]
    assert good["ended by"] == "steps"
    assert good["score"] is not None
    if name != "best/checkpoint/record.json":
        assert damaged["ended by"].startswith("damaged: ")
        assert name in damaged["ended by"]


@pytest.mark.fault(98)
def test_a_line_of_wrong_types_is_skipped_with_a_warning(
    whole: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "run"
    shutil.copytree(whole.path, place)
    folder = RunFolder(place)
    before = len(folder.reports("t00"))
    with (place / "trials/t00/progress.jsonl").open("a") as file:
        file.write(json.dumps({**folder.reports("t00")[0].to_dict(), "env_steps": "many"}) + "\n")
    with (place / "trials/t00/failures.jsonl").open("a") as file:
        file.write('{"error": 3}\n[]\n')
    assert len(folder.reports("t00")) == before
    assert "row 2 is left out: env_steps: expected a whole number, got 'many'" in caplog.text
    assert [failure.error for failure in folder.failures("t00")] == ["boom"]
