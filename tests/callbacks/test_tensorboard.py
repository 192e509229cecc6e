"""What TensorBoard shows of a run: read from the event files, by TensorBoard's own readers."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drawn import FIRST, SCORES, SECOND, ended, exploit, made, parts, report, tell
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as PluginAccumulator,
)
from tensorboard.plugins.hparams import metadata

from rltune.callbacks.base import Callbacks, TrialFailed
from rltune.callbacks.run_writer import RunWriter
from rltune.callbacks.tensorboard import TensorBoardWriter
from rltune.callbacks.tensorboard.hparams import read_settings
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.runs.records import Failure
from rltune.space import Space


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run without a report yet."""
    return made(tmp_path, "a")


def read(folder: RunFolder, run: str) -> EventAccumulator:
    return EventAccumulator(str(folder.path / "trials" / run)).Reload()


def curve(folder: RunFolder, run: str, tag: str = "episode_reward_mean") -> list[tuple[int, float]]:
    return [(point.step, round(point.value, 6)) for point in read(folder, run).Scalars(tag)]


def texts(folder: RunFolder, run: str) -> list[tuple[str, int, str]]:
    """Tag, step and text of every text of a run."""
    board = PluginAccumulator(str(folder.path / "trials" / run)).Reload()
    tags = board.PluginTagToContent("text") if "text" in board.ActivePlugins() else ()
    return [
        (tag, point.step, point.tensor_proto.string_val[0].decode())
        for tag in tags
        for point in board.Tensors(tag)
    ]


def row(folder: RunFolder, run: str) -> dict[str, Any]:
    """The settings of a run as any TensorBoard reads them that is started now."""
    board = PluginAccumulator(str(folder.path / "trials" / run)).Reload()
    content = board.PluginTagToContent(metadata.PLUGIN_NAME)[metadata.SESSION_START_INFO_TAG]
    assert content == read_settings(folder.path / "trials" / run)[metadata.SESSION_START_INFO_TAG]
    values = metadata.parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


def test_a_report_is_drawn_under_the_tags_that_people_look_for(folder: RunFolder) -> None:
    tell(folder, report("t00", 100, reward=20.0), report("t00", 200, SECOND, reward=30.0))
    drawn = {tag: curve(folder, "t00", tag) for tag in read(folder, "t00").Tags()["scalars"]}
    assert drawn == {
        "episode_reward_mean": [(100, 20.0), (200, 30.0)],
        "episode_len_mean": [(100, 9.0), (200, 9.0)],
        "learner/entropy": [(100, 0.5), (200, 0.5)],
        "seconds": [(100, 1.0), (200, 1.0)],
        "hyperparameters/lr": [(100, 1e-3), (200, 2e-3)],
        "hyperparameters/num_epochs": [(100, 4.0), (200, 5.0)],
        "hyperparameters/fcnet_activation": [(100, 0.0), (200, 1.0)],
        "hyperparameters/use_kl_loss": [(100, 1.0), (200, 0.0)],
        "throughput/env_steps_per_second": [(100, 200.0), (200, 200.0)],
    }


def test_further_numbers_of_a_result_are_drawn_as_well(folder: RunFolder) -> None:
    tell(folder, report("t00", 100, **{"timers/sample": 0.25}))
    assert curve(folder, "t00", "timers/sample") == [(100, 0.25)]
    (kept,) = folder.reports("t00")
    assert "timers/sample" not in kept.metrics, "rows of progress.jsonl stay small"


def test_a_row_of_settings_has_the_type_of_each_and_those_in_effect(folder: RunFolder) -> None:
    tell(folder, report("t00", 100))
    assert row(folder, "t00") == FIRST
    tell(folder, report("t00", 200), exploit("t00", 200, "t01", 200), report("t00", 300, SECOND))
    assert row(folder, "t00") == SECOND
    content = read_settings(folder.path / "trials/t00")[metadata.EXPERIMENT_TAG]
    columns = metadata.parse_experiment_plugin_data(content)
    lr, epochs, activation, flag = columns.hparam_infos
    assert (lr.domain_interval.min_value, lr.domain_interval.max_value) == (1e-5, 1e-2)
    assert (epochs.domain_interval.min_value, epochs.domain_interval.max_value) == (1, 20)
    assert list(activation.domain_discrete) == ["tanh", "relu"]
    assert list(flag.domain_discrete) == [True, False]
    assert [m.name.tag for m in columns.metric_infos] == ["episode_reward_mean", "evaluation/mean"]


def test_an_exploit_is_told_in_words(folder: RunFolder) -> None:
    tell(folder, report("t00", 200), exploit("t00", 200, "t01", 150), report("t00", 300, SECOND))
    ((tag, step, text),) = texts(folder, "t00")
    assert (tag, step) == ("events/exploit", 200)
    assert text.startswith("**t00 <- t01** at step 200: continues from t01 as it was at its step")
    assert "| lr | 0.001 | 0.002 |" in text
    assert "| fcnet_activation | tanh | relu |" in text


def boards(folder: RunFolder) -> dict[str, Any]:
    """All that is drawn of a run, by TensorBoard's name of a curve."""
    found = {}
    for path in sorted((folder.path / "trials").iterdir()):
        tags = read(folder, path.name).Tags()["scalars"]
        drawn = {tag: curve(folder, path.name, tag) for tag in tags}
        found[path.name] = (drawn, texts(folder, path.name), row(folder, path.name))
    return found


def test_the_champion_follows_its_weights_from_parent_to_parent(folder: RunFolder) -> None:
    tell(folder, *parts())
    assert curve(folder, "champion") == [(100, 1.0), (200, 2.0), (300, 3.0), (400, 4.0)]
    assert curve(folder, "champion", "hyperparameters/num_epochs") == [
        *((100, 4.0), (200, 4.0), (300, 5.0), (400, 5.0))
    ]
    scores = {tag: curve(folder, "champion", tag) for tag in SCORES}
    assert scores == {tag: [(400, value)] for tag, value in SCORES.items()}
    assert row(folder, "champion") == SECOND
    (_, first, began), (tag, second, copied) = texts(folder, "champion")
    assert (tag, first, second) == ("lineage", 0, 200)
    assert began.startswith("**t00**: steps 0 to 200 of t00")
    assert copied.startswith("**t01 <- t00**: steps 200 to 400 of t01")
    assert "| lr | 0.001 | 0.002 |" in copied


def test_steps_of_the_champion_are_those_that_its_weights_have_trained(folder: RunFolder) -> None:
    """The donor was younger when it was copied than the clone, whose clock continues."""
    older = [report("t01", step, reward=0.0) for step in (100, 200, 300)]
    copied = [exploit("t01", 300, "t00", 100), report("t01", 400, SECOND, reward=7.0)]
    tell(folder, report("t00", 100, reward=1.0), *older, *copied, ended("t01", 400))
    assert curve(folder, "champion") == [(100, 1.0), (200, 7.0)]


def test_the_champion_of_an_extended_run_replaces_the_one_before(folder: RunFolder) -> None:
    tell(folder, *parts())
    tell(folder, report("t00", 400, reward=8.0), ended("t00", 400))
    assert curve(folder, "champion") == [(100, 1.0), (200, 2.0), (300, 2.5), (400, 8.0)]
    assert texts(folder, "champion")[0][2].startswith("**t00**")
    assert len(texts(folder, "champion")) == 1


def test_a_resumed_run_ends_with_the_board_of_one_that_was_not_stopped(
    folder: RunFolder, tmp_path: Path
) -> None:
    """Killed after t01's exploit was written down, but before t01's checkpoint was: it is made
    again and not written again, as the sweep's state says."""
    events = parts()
    tell(folder, *events)
    whole = boards(folder)
    other = RunFolder.create(replace(folder.spec, name="b"))
    other.lock.release()
    tell(other, *events[:6], report("t01", 300, SECOND, reward=9.0))
    other.discard_reports("t01", 100)
    other.discard_reports("t00", 200)
    tell(other, events[3], *events[5:])
    assert boards(other) == {**whole, "t01": (*whole["t01"][:1], texts(other, "t01"), SECOND)}
    (before,), (after,) = texts(folder, "t01"), texts(other, "t01")
    assert after[:2] == before[:2]
    assert after[2] == before[2].partition("\n")[0], "settings of a lost report are not told"


def test_a_retry_hides_what_was_lost_and_says_why(folder: RunFolder) -> None:
    failure = Failure(env_steps=250, error="the rope broke", tried_again=True)
    tell(folder, report("t00", 100), report("t00", 200), TrialFailed("t00", failure, 100))
    assert curve(folder, "t00") == [(100, 1.0)], "also before the next report"
    tell(folder, report("t00", 200, reward=5.0), TrialFailed("t00", failure))
    assert curve(folder, "t00") == [(100, 1.0), (200, 5.0)]
    told = texts(folder, "t00")
    assert told[0] == ("events/failure", 100, "failed, tried again from step 100: the rope broke")
    assert told[1] == ("events/failure", 250, "failed, given up: the rope broke")


def test_parts_of_a_run_are_in_order_though_the_clock_was_set_back(folder: RunFolder) -> None:
    tell(folder, report("t00", 100), report("t00", 200), report("t00", 300, reward=9.0))
    (path,) = (folder.path / "trials/t00").glob("events.out.tfevents.1*")
    stamp = path.name.split(".")[3]
    path.rename(path.with_name(path.name.replace(stamp, f"{int(time.time()) + 3_600:010}")))
    tell(folder, report("t00", 300, reward=5.0))
    assert curve(folder, "t00") == [(100, 1.0), (200, 1.0), (300, 5.0)]


@pytest.mark.fault(27)
@pytest.mark.parametrize("reward", [1e30, -1e30, 1e300])
def test_a_huge_return_is_drawn(folder: RunFolder, reward: float) -> None:
    tell(folder, report("t00", 100, reward=reward), ended("t00", 100))
    (drawn,) = curve(folder, "t00")
    assert drawn[1] == pytest.approx(reward) or (reward > 1e38 and drawn[1] == float("inf"))
    assert curve(folder, "champion") == [drawn]


@pytest.mark.fault(58)
def test_the_champion_of_files_edited_by_hand_is_drawn(
    folder: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    *events, last = parts()
    tell(folder, *events)
    for name in ("decisions.jsonl", "trials/t00/progress.jsonl"):
        with (folder.path / name).open("a") as file:
            file.write('["a list"]\n{"trial": "t0')
    tell(folder, last)
    assert curve(folder, "champion") == [(100, 1.0), (200, 2.0), (300, 3.0), (400, 4.0)]
    assert "decisions.jsonl:2 is left out" in caplog.text


@pytest.mark.fault(55)
def test_a_full_disk_or_a_removed_folder_ends_the_board_alone(
    folder: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """The event file is one on a full device; then the folder of a trial is gone."""
    callbacks = Callbacks(RunWriter(folder.spec, folder), [TensorBoardWriter(folder.spec, folder)])
    callbacks.notify(report("t00", 100))
    (path,) = (folder.path / "trials/t00").glob("events.out.tfevents.1*")
    kept = path.read_bytes()
    path.unlink()
    path.symlink_to("/dev/full")
    for env_steps in (200, 300):
        callbacks.notify(report("t00", env_steps))
    callbacks.notify(ended("t00", 300))
    callbacks.close()
    assert [each.env_steps for each in folder.reports("t00")] == [100, 200, 300]
    assert folder.summary is not None
    assert caplog.text.count("The callback TensorBoardWriter raised OSError") == 1
    assert "No space left on device" in caplog.text
    path.unlink()
    path.write_bytes(kept)
    assert curve(folder, "t00") == [(100, 1.0)]


def test_a_run_that_searches_nothing_has_no_table_of_settings(tmp_path: Path) -> None:
    spec = make_spec("ppo", "cartpole", storage=tmp_path, name="a")
    folder = RunFolder.create(replace(spec, space=Space({})))
    folder.lock.release()
    tell(folder, report("t00", 100, {}), ended("t00", 100))
    assert curve(folder, "champion") == [(100, 1.0)]
    assert read_settings(folder.path / "trials/t00") == {}
