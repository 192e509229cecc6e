"""FAULTS 83: a stranger's run folder is read, scored, shown and resumed, and runs none of its code.

A stranger's is any that is not signed with this user's key: here a copy without its signature.
"""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import warm
from conftest import run_rltune
from planted import Traps
from trained import trained

import rltune
from rltune.errors import BadCheckpoint, BadInput, MachineError
from rltune.policies import evaluation
from rltune.request.trust import is_known, is_own
from rltune.runs import checkpoints, signatures, state_file
from rltune.runs.checkpoints import LEARNER_FILE, MANIFEST, RECORD_FILE
from rltune.runs.folder import BEST, RunFolder
from rltune.tasks.resume import check_resumable

MINE = """
import gymnasium as gym
from gymnasium.envs.classic_control import CartPoleEnv

class Pole(CartPoleEnv):
    pass

gym.register("Mine-v0", Pole, max_episode_steps=500)
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> RunFolder:
    """A run of this user's, of an environment in the catalog."""
    run = trained(tmp_path_factory.mktemp("own"), "ppo", "cartpole", num_epochs=1)
    (run.path / "best/preset.toml").write_text('env = "cartpole"\n[settings]\nlr = 1e-4\n')
    return run


@pytest.fixture
def traps(tmp_path: Path) -> Traps:
    return Traps(tmp_path / "traps")


@pytest.fixture
def copy(own: RunFolder, tmp_path: Path) -> Callable[..., RunFolder]:
    """Makes a copy of a run, as a stranger's unless it is signed."""

    def made(signed: bool = False, **changes: Any) -> RunFolder:
        folder = tmp_path / "here" / "runs" / "theirs"
        shutil.copytree(own.path, folder)
        if not signed:
            (folder / ".run.json.signature").unlink()
        if changes:
            asked = json.loads((folder / "run.json").read_text())
            (folder / "run.json").write_text(json.dumps({**asked, **changes}))
        return RunFolder.open(folder)

    return made


def _edit(path: Path, change: Callable[[Any], Any]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


COMMANDS = {
    "evaluate": ("evaluate", "runs/theirs", "--episodes", "2"),
    "play": ("play", "runs/theirs", "--video", "a.gif"),
    "export": ("export", "runs/theirs", "--preset", "a.toml", "--onnx", "a.onnx"),
    "replay": ("replay", "runs/theirs", "--dry-run"),
    "resume": ("resume", "runs/theirs"),
}


@pytest.mark.fault(83)
@pytest.mark.parametrize("command", ["evaluate", "play", "export", "list"])
def test_an_untrusted_run_is_used_without_running_its_code(
    command: str, copy: Callable[..., RunFolder], traps: Traps
) -> None:
    folder = copy()
    traps.run(folder.path, "ppo")
    here = folder.path.parents[1]
    done = warm.run_rltune(here, *COMMANDS.get(command, ("list", "runs")))
    assert done.returncode == 0, done.stderr
    assert traps.sprung == []


@pytest.mark.fault(83)
@pytest.mark.parametrize("command", COMMANDS)
def test_code_named_by_an_untrusted_run_is_shown_and_not_run(
    command: str, copy: Callable[..., RunFolder], traps: Traps
) -> None:
    reward = {"$rltune": "object", "value": "evil:reward"}
    folder = copy(imports=["evil"], env_id="evil:Mine-v0", env_args={"reward": reward})
    here = folder.path.parents[1]
    traps.module(here / "evil.py", MINE)
    traps.module(folder.path / "evil.py", MINE)
    done = warm.run_rltune(here, *COMMANDS[command])
    assert done.returncode == 2, done.stderr
    for words in (
        "runs/theirs is not signed by this user",
        "imports the module evil",
        "makes the environment evil:Mine-v0",
        "passes its environment evil:reward",
        "--trust",
    ):
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert traps.sprung == []


@pytest.mark.fault(83)
def test_a_run_that_was_trusted_once_stays_trusted(
    copy: Callable[..., RunFolder], traps: Traps
) -> None:
    folder = copy(imports=["theirs"], env_id="theirs:Mine-v0")
    here = folder.path.parents[1]
    traps.module(here / "theirs.py", MINE)
    assert warm.run_rltune(here, *COMMANDS["evaluate"]).returncode == 2
    done = warm.run_rltune(here, *COMMANDS["evaluate"], "--trust")
    assert done.returncode == 0, done.stderr
    assert traps.sprung == ["import theirs"]
    assert is_own(folder)
    done = warm.run_rltune(here, *COMMANDS["evaluate"])
    assert done.returncode == 0, done.stderr
    _edit(folder.path / "run.json", lambda asked: asked.update(imports=["another"]))
    assert not is_own(folder)
    assert "imports the module another" in warm.run_rltune(here, *COMMANDS["evaluate"]).stderr


@pytest.mark.fault(83)
def test_your_own_run_needs_no_trust_in_any_folder(
    copy: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy(signed=True)
    assert is_own(folder)
    assert rltune.load(folder.path).evaluate(2).episodes == 2
    monkeypatch.setenv(signatures.VARIABLE, "0f" * 32)
    assert not is_own(folder)
    assert rltune.load(folder.path).evaluate(2).episodes == 2, "of the catalog: data"
    _edit(folder.path / "run.json", lambda asked: asked.update(imports=["evil"]))
    with pytest.raises(BadInput, match=r"(?s)imports the module evil.*rltune\.trust\(path\)"):
        rltune.load(folder.path).evaluate(2)
    with pytest.raises(BadInput, match="imports the module evil"):
        rltune.replay(folder.path)
    rltune.load(folder.path, trust=True)
    assert is_own(folder)


@pytest.mark.fault(83)
@pytest.mark.parametrize(
    ("env_id", "known"),
    [
        ("CartPole-v1", True),
        ("cartpole", True),
        ("Taxi-v3", True),
        ("minigrid:MiniGrid-Empty-5x5-v0", True),
        ("evil:CartPole-v1", False),
        ("evil:MiniGrid-Empty-5x5-v0", False),
        ("subprocess:run", False),
        ("/tmp/evil.py:Env", False),
        ("Nowhere-v0", False),
        ("GymV26Environment-v0", False),
    ],
)
def test_only_environments_of_the_catalog_need_no_trust(env_id: str, known: bool) -> None:
    assert is_known(env_id) is known


@pytest.mark.fault(83)
def test_a_record_is_checked_like_any_input(copy: Callable[..., RunFolder]) -> None:
    folder = copy()
    record = folder.path / BEST / RECORD_FILE
    whole = record.read_text()
    score = partial(evaluation.evaluate, folder, 2)
    for name, value, words in [
        ("callbacks_class", "evil:Callbacks", "callbacks_class: unknown setting of ppo"),
        ("rl_module_spec", {"module_class": "evil:Net"}, "rl_module_spec: unknown setting"),
        ("env", "evil:Env", "env: unknown setting"),
        ("gamma", "0.9", "gamma: expected a number"),
        ("fcnet_activation", "evil", "fcnet_activation: expected one of"),
        ("frame_stack", 10**9, "frame_stack: expected a value in"),
    ]:
        _edit(record, lambda body, n=name, v=value: body["settings"].update({n: v}))
        with pytest.raises(BadInput, match=rf"record\.json: {words}"):
            score()
        record.write_text(whole)
    for sizes in ([10**9, 10**9], [7, 7], [64] * 1_000):
        _edit(record, lambda body, s=sizes: body["settings"].update(fcnet_hiddens=s))
        with pytest.raises(BadCheckpoint, match=r"policy\.pt"):
            score()


@pytest.mark.fault(83)
def test_run_json_and_its_summary_are_checked_like_any_input(
    copy: Callable[..., RunFolder],
) -> None:
    folder = copy()
    run = folder.path / "run.json"
    whole = run.read_text()
    choice = {"choice": ["evil:Callbacks"]}
    for key, value in {
        "settings": {"callbacks_class": "evil:Callbacks"},
        "space": {"callbacks_class": choice},
        "points": [{"callbacks_class": "evil:Callbacks"}],
        "arms": {"final": [[0, {"callbacks_class": "evil:Callbacks"}]]},
    }.items():
        _edit(run, lambda asked, k=key, v=value: asked.update({k: v}))
        with pytest.raises(BadInput, match="callbacks_class: unknown setting of ppo"):
            RunFolder(folder.path).spec  # noqa: B018
        run.write_text(whole)
    for name in ("../outside", "/etc", "trials/../../outside"):
        with pytest.raises(BadInput, match="leads out of the run folder"):
            folder.inside(name)
    (folder.path / "link").symlink_to("/etc")
    with pytest.raises(BadInput, match="leads out of the run folder"):
        folder.inside("link/passwd")


# A resume ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that has more to do, and where it was started: among modules that nobody asked for.

    It is of an environment in the current folder, which its trials must find there.
    """
    here = tmp_path_factory.mktemp("cut")
    traps = Traps(here / "traps")
    traps.here(here)
    (here / "mine.py").write_text(MINE)
    preset = "[budget]\nsteps = 1000\ntrials = 1\nperturb_every = 1000\ntarget = inf\n[settings]\n"
    (here / "short.toml").write_text(preset + "min_sample_timesteps_per_iteration = 500\n")
    words = ("ppo", "mine:Mine-v0", "--scheduler", "fifo", "--preset", "short.toml")
    done = run_rltune(here, *words, "--name", "a", "--quiet")
    assert done.returncode == 0, done.stderr
    assert traps.sprung == [], "a trial imports what is installed"
    folder = here / "runs" / "a"
    saved = state_file.read(folder)
    assert saved is not None
    for trial in saved["trials"]:
        trial["status"] = "RUNNING"
    del saved["fingerprint"]
    state_file.write(folder, saved)
    (folder / "summary.json").unlink()
    return here


def _theirs(cut_off: Path, **changes: Any) -> Path:
    """A stranger's copy, with more to do; of cartpole unless it is said otherwise."""
    folder = cut_off / "runs" / "theirs"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(cut_off / "runs" / "a", folder)
    (folder / ".run.json.signature").unlink()
    asked = json.loads((folder / "run.json").read_text())
    budget = {**asked["budget"], "steps": 2_000}
    asked |= {"budget": budget, "env_id": "CartPole-v1", **changes}
    (folder / "run.json").write_text(json.dumps(asked))
    return folder


def _damage(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    saved = state_file.read(folder)
    assert saved is not None
    change(saved["trials"][0])
    state_file.write(folder, saved)


@pytest.mark.fault(83)
@pytest.mark.slow
def test_an_untrusted_sweep_resumes_without_running_its_code(cut_off: Path, traps: Traps) -> None:
    folder = _theirs(cut_off)
    traps.run(folder, "ppo")
    done = warm.run_rltune(cut_off, "resume", "runs/theirs", "--quiet")
    assert done.returncode == 0, done.stderr
    (trial,) = RunFolder.open(folder).summary_contents["trials"]
    assert (trial["status"], trial["env_steps"] >= 2_000) == ("TERMINATED", True)
    assert traps.sprung == []


def _as_before(folder: Path) -> None:
    """A checkpoint of an earlier rltune: RLlib's pickles, and nothing else to continue from."""
    (folder / LEARNER_FILE).unlink()
    (folder / MANIFEST).unlink()
    checkpoints.seal(folder, "ppo")


@pytest.mark.fault(83)
@pytest.mark.slow
def test_code_and_links_that_a_resume_would_reach_are_shown_first(
    cut_off: Path, traps: Traps
) -> None:
    asked = {"address": "10.0.0.1:6379", "log": ["wandb"]}
    folder = _theirs(cut_off, certificate={"file": "/x", "preset": {}}, **asked)
    for checkpoint in folder.glob("trials/*/checkpoints/*"):
        _as_before(checkpoint)
    traps.run(folder, "ppo")
    (folder / "trials/t00/progress.jsonl").rename(folder / "rows")
    (folder / "trials/t00/progress.jsonl").symlink_to(cut_off / "mine.py")
    done = warm.run_rltune(cut_off, "resume", "runs/theirs")
    assert done.returncode == 2
    for words in (
        "connects to the Ray cluster 10.0.0.1:6379",
        "sends what it reports to wandb",
        "writes the certificate /x",
        "opens the pickles in trials/t00/checkpoints/checkpoint_00000",
        f"links trials/t00/progress.jsonl to {cut_off / 'mine.py'}",
    ):
        assert words in done.stderr
    assert traps.sprung == []


@pytest.mark.fault(83)
@pytest.mark.slow
def test_a_saved_state_is_checked_like_any_input(cut_off: Path) -> None:
    cases: dict[str, Callable[[dict[str, Any]], Any]] = {
        "'../../x', which leads out": lambda trial: trial.update(start="../../x"),
        "'/etc', which leads out": lambda trial: trial.update(checkpoint="/etc"),
        "'../y', which leads out": lambda trial: trial["config"].update(
            exploit={"donor": "t01", "env_steps": 1, "own_checkpoint": "../y"}
        ),
        "callbacks_class: unknown setting": lambda trial: trial["config"].update(
            callbacks_class="evil:Callbacks"
        ),
        "'../t00' is no trial": lambda trial: trial.update(id="../t00"),
    }
    for words, change in cases.items():
        folder = _theirs(cut_off)
        _damage(folder, change)
        with pytest.raises(BadInput, match=words):
            check_resumable(RunFolder.open(folder), force=True)


# The current folder ------------------------------------------------------------------------------


@pytest.mark.fault(83)
def test_modules_in_the_current_folder_are_not_imported(
    copy: Callable[..., RunFolder], traps: Traps
) -> None:
    here = copy().path.parents[1]
    traps.here(here)
    for words in (
        ("list", "runs"),
        ("show", "ppo", "cartpole"),
        ("evaluate", "runs/theirs", "--episodes", "2"),
        ("board", "nowhere"),
    ):
        done = run_rltune(here, *words)
        assert done.returncode == (2 if "nowhere" in words else 0), done.stderr
        assert traps.sprung == [], words


def test_a_local_module_that_shadows_an_installed_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "onnx.py").write_text(MINE)
    done = warm.run_rltune(tmp_path, "show", "ppo", "onnx:Mine-v0")
    assert done.returncode == 2
    assert "has the name of an installed package" in done.stderr
    (tmp_path / "mine.py").write_text(MINE)
    assert warm.run_rltune(tmp_path, "show", "ppo", "mine:Mine-v0").returncode == 0


# The key -----------------------------------------------------------------------------------------


def test_the_key_is_readable_by_its_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert not signatures.is_signed("x", b"content", "00")
    assert not (tmp_path / "config").exists(), "reading makes no key"
    signature = signatures.sign("x", b"content")
    key = tmp_path / "config" / "rltune" / "key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert signatures.is_signed("x", b"content", signature)
    for purpose, content, other in [
        ("y", b"content", signature),
        ("x", b"contents", signature),
        ("x", b"content", None),
        ("x", b"content", "é"),
    ]:
        assert not signatures.is_signed(purpose, content, other)
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert signatures.key_file() == tmp_path / ".config" / "rltune" / "key"
    key.write_text("no key")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with pytest.raises(MachineError, match="is no key of rltune"):
        signatures.sign("x", b"content")


def test_a_key_that_cannot_be_saved_lasts_for_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()  # permissions do not bind root
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    monkeypatch.setenv(signatures.VARIABLE, "")
    monkeypatch.delenv(signatures.VARIABLE)
    signature = signatures.sign("x", b"content")
    assert "no key can be kept" in caplog.text
    assert signatures.is_signed("x", b"content", signature)
    assert len(caplog.records) == 1
