"""``play`` and ``export`` as a user types them, on a policy that has trained for a moment."""

from __future__ import annotations

import json
from pathlib import Path

import onnxruntime
import pytest
from trained import trained
from warm import run_rltune

from rltune.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = trained(tmp_path_factory.mktemp("play"), "ppo", "cartpole")
    (folder.path / "best/preset.toml").write_text('env = "cartpole"\n[settings]\nlr = 1e-4\n')
    return folder


def test_play_films_an_episode(run: RunFolder, tmp_path: Path) -> None:
    done = run_rltune(tmp_path, "play", str(run.path), "--video", "a.gif", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (episode,) = found["episodes"]
    assert found["video"] == "a.gif"
    assert f"seed {episode['seed']}" in done.stderr
    assert (tmp_path / "a.gif").read_bytes().startswith(b"GIF89a")


def test_export_writes_a_preset_and_a_checked_policy(run: RunFolder, tmp_path: Path) -> None:
    words = ("export", str(run.path), "--preset", "mine.toml", "--onnx", "mine.onnx")
    done = run_rltune(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "acts as the policy on 1,000 of 1,000 observations of CartPole-v1" in done.stdout
    onnxruntime.InferenceSession(tmp_path / "mine.onnx", providers=["CPUExecutionProvider"])
    shown = run_rltune(tmp_path, "show", "ppo", "cartpole", "--preset", "mine.toml", "--json")
    assert json.loads(shown.stdout)["settings"]["lr"] == 1e-4
    # Nothing of the user's is replaced unasked.
    again = run_rltune(tmp_path, *words)
    assert again.returncode == 2
    assert "mine.toml exists already" in again.stderr
    assert run_rltune(tmp_path, *words, "--force").returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("play", "--video", "a.avi"), "name a file that ends in .mp4 or .gif"),
        (("play", "--video", "gone/a.mp4"), "there is no folder gone. Make it first."),
        (("play", "--fps", "5"), "add --video out.mp4"),
        (("export",), "Name --preset FILE, --onnx FILE, --optuna URL or several."),
        (("export", "--onnx", "a.pt"), "name a file that ends in .onnx"),
    ],
)
def test_impossible_requests_are_refused_first(
    run: RunFolder, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    command, *options = words
    done = run_rltune(tmp_path, command, str(run.path), *options)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []
