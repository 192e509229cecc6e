"""Every kind of record is written and read without a loss, by its annotations alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rltune import schema
from rltune.errors import BadInput
from rltune.request.resolve import make_spec
from rltune.runs import records, summary_record
from rltune.runs.folder import RunFolder
from rltune.runs.json_text import dumps, loads
from rltune.runs.records import CheckpointRecord, Decision, Diverged, Failure, Report
from rltune.runs.summary_record import BestPolicy, Evaluation, Summary

KINDS: list[type[schema.Record]] = [
    value
    for module in (records, summary_record)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, schema.Record) and value is not schema.Record
]
EARLIER = Path(__file__).parents[1] / "data/runs_0_1"

text = st.text(max_size=5) | st.sampled_from(["inf", "-inf", "\\inf", "\\\\-inf"])
number = st.floats(allow_nan=False)
anything: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | number | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)


def values_of(wanted: Any) -> Any:
    """A strategy for values of a type."""
    plain = {Any: anything, str: text, float: number, int: st.integers(), bool: st.booleans()}
    if wanted in plain:
        return plain[wanted]
    origin, args = get_origin(wanted), get_args(wanted)
    if is_dataclass(wanted):
        hints = get_type_hints(wanted, include_extras=True)
        each = {field.name: values_of(hints[field.name]) for field in fields(wanted)}
        if wanted is Report:
            names = text.map(lambda name: f"episode_info/{name}")
            each["metrics"] = st.dictionaries(names, number, max_size=2)
        return st.builds(wanted, **each)
    if origin is Annotated:
        return values_of(args[0])
    if origin in (UnionType, Union):
        return st.none() | values_of(args[0])
    if origin is Literal:
        return st.sampled_from(args)
    if origin is Mapping:
        return st.dictionaries(text, values_of(args[1]), max_size=2)
    if origin is tuple:
        return st.tuples(*map(values_of, args))
    return st.lists(values_of(args[0]), max_size=2)


def test_every_kind_of_record_is_tried() -> None:
    names = {kind.__name__ for kind in KINDS}
    assert {"Report", "Decision", "Failure", "Exploit", "CheckpointRecord", "Summary"} <= names


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_record_is_read_as_it_was_written(kind: type[schema.Record], data: Any) -> None:
    record = data.draw(values_of(kind))
    values = record.to_dict()
    assert kind.from_dict(values) == record
    assert kind.from_dict(values | {"of a later version": 1}) == record
    assert kind.from_dict(loads(dumps(values), kind)) == record


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_record_is_refused_by_the_quick_reader_as_well(
    kind: type[schema.Record], data: Any
) -> None:
    """The quick way to a record takes nothing that the checks with words refuse."""
    values = data.draw(values_of(kind)).to_dict()
    for name in data.draw(st.lists(st.sampled_from(sorted(values)), max_size=2)):
        values[name] = data.draw(anything)
    missing = data.draw(st.sampled_from(sorted(values)))
    values = {k: v for k, v in values.items() if k != missing or data.draw(st.booleans())}
    try:
        read = schema._reader(kind)(values)
    except schema._Misfit:
        return
    assert schema.problems(values, kind) == []
    assert str(read) == str(schema.built(values, kind))


def test_absent_fields_are_left_out_of_the_file() -> None:
    report = Report("t00", 1, 100, 100, 0.5, None, {"lr": 0.1}, metrics={"episode_len_mean": 9.0})
    assert list(report.to_dict()) == [
        "trial",
        "training_iteration",
        "env_steps",
        "env_steps_this_iter",
        "wall_seconds",
        "settings",
        "train_seconds",
        "episode_len_mean",
    ]
    stop = Decision(kind="stop", env_steps=7, trial="t00")
    assert list(stop.to_dict()) == [
        "kind",
        "env_steps",
        "trial",
        "donor",
        "requested",
        "effective",
    ]
    with pytest.raises(BadInput, match="effective is missing"):
        Decision.from_dict({"kind": "stop", "env_steps": 7, "trial": "t00", "donor": None})
    summary = Summary(
        best=None, evaluation=None, env_steps=0, wall_seconds=1.0, trials=[], stop_reason=""
    )
    assert "optimism_gap" not in summary.to_dict()
    best = BestPolicy(trial="t00", config={}, checkpoint="", env_steps=1, score=None)
    written = replace(summary, best=best).to_dict()
    assert written["optimism_gap"] is None, "null, where there is a best policy"
    assert "seeds" not in written


def test_a_text_that_reads_as_a_number_stays_one_in_a_field_of_text() -> None:
    """Also where no backslash marks it, as in the files of other programs."""
    assert Failure.from_dict(loads('{"error": "inf"}', Failure)) == Failure(error="inf")
    line = '{"env_steps": 1, "what": "reward", "value": "-inf"}'
    assert Diverged.from_dict(loads(line, Diverged)).value == "-inf"
    body = {"env_steps": 1, "window": 2, "episode_returns": [math.inf], "trial": "inf"}
    record = CheckpointRecord.from_dict(loads(dumps(body), CheckpointRecord))
    assert record.episode_returns == [math.inf]
    assert record.trial == "inf"
    unmarked = dumps(body).replace("\\\\", "")
    assert CheckpointRecord.from_dict(loads(unmarked, CheckpointRecord)) == record
    with pytest.raises(BadInput, match="error: expected text, got 3"):
        Failure.from_dict({"error": 3})


def test_an_infinite_number_and_a_text_survive_in_a_request(tmp_path: Path) -> None:
    spec = make_spec(
        "ppo",
        "cartpole",
        storage=tmp_path,
        name="inf",
        env_args={"max_episode_steps": 9, "disable_env_checker": "inf"},
        target=math.inf,
        env_timeout=math.inf,
    )
    folder = RunFolder.create(spec)
    read = RunFolder.open(folder.path).spec
    assert read == spec
    assert (read.name, read.budget.target, read.env_options.env_timeout) == (
        "inf",
        spec.budget.target,
        math.inf,
    )


@pytest.mark.parametrize("name", ["finished", "killed"])
def test_the_files_of_an_earlier_run_fit_the_types(name: str) -> None:
    """Every line of them; what is written again is the same, key by key."""
    path = EARLIER / name
    kinds: dict[str, type[schema.Record]] = {
        "decisions.jsonl": Decision,
        "trials/*/progress.jsonl": Report,
        "trials/*/failures.jsonl": Failure,
        "**/record.json": CheckpointRecord,
        "summary.json": Summary,
    }
    seen = set()
    for pattern, kind in kinds.items():
        for file in path.glob(pattern):
            content = file.read_text()
            lines = content.splitlines() if file.suffix == ".jsonl" else [content]
            for line in lines:
                record = kind.from_dict(loads(line, kind))
                assert dumps(record.to_dict()) == json.dumps(json.loads(line))
                seen.add(kind)
    assert {Decision, Report, CheckpointRecord} <= seen
    assert (Summary in seen) == (name == "finished")


def test_an_evaluation_is_shown_in_one_line() -> None:
    found = Evaluation(465.6, 479.333, (421.6, math.nan), 2, [1, 2], [431.2, 500.0])
    assert repr(found) == "Evaluation(mean=465.6, iqm=479.33, ci95=[421.6, nan], episodes=2)"
    other = replace(found, metric="episode_info/is_success", unscored=[{"seeds": [3]}])
    assert repr(other).endswith("episodes=2, metric='episode_info/is_success', unscored=1)")
