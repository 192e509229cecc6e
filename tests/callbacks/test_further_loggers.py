"""What Aim and Comet keep of a run: by hand, their libraries are not light.

Install ``rltune[aim,comet]``, then ``pytest -m by_hand tests/callbacks/test_further_loggers.py``.
Passed last with aim 3.29.1 and comet-ml 3.58.8, on 2026-11-27.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from callbacks.test_loggers import tell
from drawn import SCORES, SECOND, made, parts

from rltune.callbacks.base import StatusChanged
from rltune.callbacks.loggers.trackers import check_loggers
from rltune.errors import BadInput

pytestmark = pytest.mark.by_hand

#: Prints what Aim has of a run, in a process that holds no lock of it.
READ = """\
import json, sys
import aim
from aim.storage.context import Context
run = aim.Run(sys.argv[1], repo=sys.argv[2], system_tracking_interval=None)
frames = {metric.name: metric.dataframe() for metric in run.metrics()}
curves = {n: frame[["step", "value"]].values.tolist() for n, frame in frames.items()}
lineage = run.get_text_sequence("lineage", Context({}))
print(json.dumps({
    "name": run.name,
    "settings": run["settings"],
    "scores": run.get("scores"),
    "curves": curves,
    "lineage": [each.data for each in lineage.values.values_list()] if lineage else [],
    "files": sorted(run.artifacts),
}))
"""


@pytest.fixture(scope="module", params=["aim", "comet"])
def logged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, dict[str, str]]:
    """A tracker, the folder in which it has logged a stopped and resumed run, and its own ids."""
    name = request.param
    try:
        check_loggers([name])
    except BadInput as error:
        pytest.skip(str(error))
    path = tmp_path_factory.mktemp(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("COMET_START_ONLINE", "0")
        patch.setenv("COMET_OFFLINE_DIRECTORY", str(path / "offline"))
        folder = made(path / "runs", "a")
        (folder.path / "best/checkpoint").mkdir(parents=True)
        (folder.path / "best/checkpoint/weights.pt").write_text("weights")
        *events, last = parts()
        tell(folder, [name], *events[:7])
        done = [StatusChanged(trial, "TERMINATED") for trial in ("t00", "t01")]
        tell(folder, [name], *events[7:], *done, last)
    ids = json.loads((folder.path / f"loggers/{name}.json").read_text())
    assert ids["open"] == []
    return name, path, ids["ids"]


def of_aim(path: Path, run: str) -> dict[str, Any]:
    read = [sys.executable, "-c", READ, run, str(path)]
    done = subprocess.run(read, capture_output=True, text=True, check=True, cwd=path)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def of_comet(path: Path, run: str) -> dict[str, Any]:
    """The same of Comet's archives: one for each part of the run."""
    found: dict[str, Any] = {"settings": {}, "curves": {}, "files": []}
    for file in sorted((path / "offline").glob(f"{run}*.zip"), key=lambda f: f.stat().st_mtime):
        with ZipFile(file) as archive:
            lines = archive.read("messages.json").decode().splitlines()
        for body in map(json.loads, lines):
            value = body["payload"]
            if body["type"] == "parameter_msg" and "param" in value:
                found["settings"][value["param"]["paramName"]] = value["param"]["paramValue"]
            elif body["type"] == "metric_msg":
                point = value["metric"]
                curve = found["curves"].setdefault(point["metricName"], [])
                curve.append([point["step"], point["metricValue"]])
            elif body["type"] == "file_upload":
                found["files"].append(value["additional_params"]["fileName"])
            elif body["type"] == "log_other" and value["key"] == "Name":
                found["name"] = value["value"]
    found["scores"] = {tag: found["curves"][tag][-1][1] for tag in SCORES if tag in found["curves"]}
    return found


def test_curves_settings_and_score_are_there(logged: tuple[str, Path, dict[str, str]]) -> None:
    name, path, ids = logged
    read = {"aim": of_aim, "comet": of_comet}[name]
    trial, champion = read(path, ids["t01"]), read(path, ids["champion"])
    assert (trial["name"], champion["name"]) == ("a/t01", "a/champion")
    drawn = [[100, 1], [200, 2], [300, 3], [400, 4]]
    assert trial["curves"]["episode_reward_mean"] == drawn
    assert champion["curves"]["episode_reward_mean"] == drawn
    for one in (trial, champion):
        assert {key: one["settings"][key] for key in SECOND} == SECOND
    assert {tag: champion["scores"][tag] for tag in SCORES} == SCORES
    assert any("weights.pt" in file for file in champion["files"])
    if name == "aim":
        assert "| 200 | 400 | t01 | t00 |" in champion["lineage"][0]
