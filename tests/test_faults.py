"""Bad input and interruptions, one test a case, each named after its number in the fault list.

The list is the project's; the numbers are those the issues speak of.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import warm
from conftest import ROOT, Cli, environment, run_python
from odd_spaces import UNREADABLE

from rltune import catalog, envs, options
from rltune.catalog.algorithms import algorithm
from rltune.catalog.environments import check_there
from rltune.errors import BadInput, MachineError
from rltune.request import preflight, secrets
from rltune.request.notes import short_interval
from rltune.request.resolve import make_spec
from rltune.runs import state_file
from rltune.runs.folder import RunFolder
from rltune.runs.names import check_name
from rltune.tasks import task_of
from rltune.tasks.resume import check_resumable


def _refused(cli: Cli, *words: str) -> str:
    """The message of a request that must be refused with exit code 2, quickly and cleanly."""
    done = cli(*words)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.fault(10)
def test_a_resume_with_another_space_or_environment_is_refused(tmp_path: Path, cli: Cli) -> None:
    folder = RunFolder.create(make_spec("ppo", "cartpole", storage=tmp_path, name="a"))
    state_file.write(folder.path, {"fingerprint": task_of(folder.spec).fingerprint()})
    folder.lock.release()
    check_resumable(folder)
    asked = json.loads((folder.path / "run.json").read_text())
    lr, num_epochs = asked["space"]["lr"], asked["settings"]["num_epochs"]
    asked["space"]["lr"] = {"log": [1e-6, 1.0]}
    asked["settings"]["num_epochs"] = 3
    asked["env_id"] = "Acrobot-v1"
    (folder.path / "run.json").write_text(json.dumps(asked))
    said = _refused(cli, "resume", str(folder.path))
    assert f"space.lr was {lr} and is {{'log': " in said
    assert f"settings.num_epochs was {num_epochs} and is 3 now" in said
    assert "env was 'CartPole-v1' and is 'Acrobot-v1' now" in said
    assert "env.observation_space was 'Box([" in said
    assert "--force" in said
    check_resumable(folder, force=True)


@pytest.mark.fault(18)
def test_an_environment_that_cannot_be_made_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    with pytest.raises(BadInput, match="Broken-v0 could not be made: RuntimeError: the simulator"):
        make_spec("dqn", "Broken-v0", storage=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_replay_buffer_that_cannot_fit_is_refused_before_anything_starts(cli: Cli) -> None:
    huge = "buffer_capacity=1_000_000_000_000"
    said = _refused(cli, "dqn", "cartpole", "--set", huge, "--trials", "1", "--dry-run")
    assert "a replay buffer of 1,000,000,000,000 transitions takes" in said
    assert "lower buffer_capacity" in said


@pytest.mark.fault(35)
def test_an_unknown_environment_is_refused_with_the_nearest(cli: Cli) -> None:
    assert "Did you mean 'CartPole-v1'?" in _refused(cli, "dqn", "CartPol-v1")
    assert "Did you mean 'cartpole'?" in _refused(cli, "dqn", "cartpol")


@pytest.mark.fault(36)
def test_an_unknown_algorithm_or_setting_is_refused_with_the_nearest(cli: Cli) -> None:
    assert "Did you mean 'dqn'?" in _refused(cli, "dqnn", "cartpole")
    assert "Did you mean 'gamma' (discount factor)?" in _refused(
        cli, "dqn", "cartpole", "--set", "gama=0.9"
    )
    assert "Did you mean 'lr' (" in _refused(
        cli, "dqn", "cartpole", "--space", "lrr={log=[1e-5,1]}"
    )
    assert "Did you mean 'asha'?" in _refused(cli, "dqn", "cartpole", "--scheduler", "ash")
    assert "Did you mean 'random'?" in _refused(cli, "dqn", "cartpole", "--searcher", "randm")
    assert "Did you mean 'evaluate'?" in _refused(cli, "evalute")
    assert "Unknown command 'resum'. Did you mean 'resume'?" in _refused(cli, "resum", "runs/x")
    assert "Did you mean 'train'?" in _refused(cli, "traim", "ppo", "cartpole", "--seeds", "3")
    assert "rltune dqn cartpole" in _refused(cli, "dqn")


@pytest.mark.fault(37)
def test_a_withdrawn_version_names_its_replacement(cli: Cli) -> None:
    assert "LunarLander-v3" in _refused(cli, "dqn", "LunarLander-v2")
    outdated = cli("dqn", "CartPole-v0", "--dry-run")
    assert outdated.returncode == 0
    assert "CartPole-v1 has replaced it" in outdated.stderr


@pytest.mark.fault(38)
def test_every_problem_of_a_preset_is_reported_with_its_line(cli: Cli, tmp_path: Path) -> None:
    preset = tmp_path / "bad.toml"
    preset.write_text(
        textwrap.dedent("""\
        env = "cartpole"
        colour = "red"
        [budget]
        stepps = 3
        trials = "four"
        [settings]
        gamma = "0.9"
        tau = 2.0
        lr = [[0, 1e-3]]
        [space]
        lr = { log = [1e-2, 1e-5] }
        tau = { log = [0.0, 1.0] }
        td_error_loss_fn = { choice = [] }
        initial_epsilon = { uniform = [nan, 1.0] }
        gamma = { one_minus_log = [0.9, 1.5] }
        """)
    )
    message = _refused(cli, "dqn", "cartpole", "--preset", "bad.toml")
    for line, words in {
        2: "unknown key 'colour'",
        4: "Did you mean 'steps'?",
        5: "budget trials: expected int",
        7: "gamma: expected a number, got '0.9'",
        8: "tau: expected a value in (0, 1]",
        9: "two points or more",
        11: "reversed: write [1e-05, 0.01]",
        12: "a log scale needs low > 0",
        13: "at least one option",
        14: "both bounds must be finite",
        15: "both bounds must lie in [0, 1)",
    }.items():
        assert any(
            f"bad.toml:{line}: " in problem and words in problem for problem in message.splitlines()
        ), (line, words, message)


@pytest.mark.fault(38)
def test_a_key_given_twice_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "twice.toml").write_text("[settings]\ngamma = 0.9\ngamma = 0.8\n")
    message = _refused(cli, "dqn", "cartpole", "--preset", "twice.toml")
    assert "twice.toml" in message
    assert "line 3" in message
    assert "given twice" in _refused(cli, "dqn", "cartpole", "--set", "lr=1", "--set", "lr=2")


@pytest.mark.fault(39)
def test_a_default_outside_its_own_range_is_refused(cli: Cli) -> None:
    message = _refused(cli, "dqn", "cartpole", "--space", "lr={log=[1e-5,1e-2],default=0.5}")
    assert "lr: default 0.5 lies outside log = [1e-05, 0.01]" in message


@pytest.mark.fault(40)
def test_spaces_that_an_algorithm_cannot_act_in_are_refused(cli: Cli) -> None:
    message = _refused(cli, "dqn", "pendulum")
    assert "dqn cannot act in Pendulum-v1: its actions are Box" in message
    assert "Use sac or ppo." in message
    message = _refused(cli, "sac", "cartpole")
    assert "its actions are Discrete, sac takes Box. Use dqn or ppo." in message


@pytest.mark.fault(40)
@pytest.mark.parametrize("kind", ["Dict", "Tuple"])
@pytest.mark.parametrize("algo", ["dqn", "ppo"])
def test_actions_that_no_algorithm_handles_are_refused(algo: str, kind: str) -> None:
    spec = catalog.environment(f"OddActions{kind}-v0")
    with pytest.raises(BadInput, match=f"{kind}.*wrap the environment"):
        preflight.check_environment(spec, algorithm(algo), {})


@pytest.mark.fault(66)
@pytest.mark.parametrize("kind", ["MultiDiscrete", "MultiBinary"])
@pytest.mark.parametrize("algo", ["dqn", "sac"])
def test_multi_discrete_actions_are_left_to_ppo(algo: str, kind: str) -> None:
    spec = catalog.environment(f"OddActions{kind}-v0")
    with pytest.raises(BadInput, match=f"its actions are {kind}.*Use ppo"):
        preflight.check_environment(spec, algorithm(algo), {})
    preflight.check_environment(spec, algorithm("ppo"), {})


@pytest.mark.fault(63)
def test_sac_refuses_unbounded_actions() -> None:
    spec = catalog.environment("OddActionsOpen-v0")
    with pytest.raises(BadInput, match=r"sac cannot act in .*OddActionsOpen-v0.*Use ppo"):
        preflight.check_environment(spec, algorithm("sac"), {})
    preflight.check_environment(spec, algorithm("ppo"), {})


@pytest.mark.fault(65)
@pytest.mark.parametrize("kind", UNREADABLE)
def test_observations_that_no_network_reads_are_refused(kind: str) -> None:
    spec = catalog.environment(f"OddObservations{kind}-v0")
    with pytest.raises(BadInput, match=f"{kind} observations are not handled"):
        preflight.check_environment(spec, algorithm("dqn"), {})


@pytest.mark.fault(41)
def test_batches_that_do_not_fit_are_refused(cli: Cli) -> None:
    message = _refused(cli, "ppo", "cartpole", "--set", "minibatch_size=1024")
    assert "minibatch_size <= train_batch_size does not hold" in message
    assert "minibatch_size = 1024, train_batch_size = 512" in message
    message = _refused(cli, "ppo", "cartpole", "--set", "num_envs_per_env_runner=7")
    assert "num_envs_per_env_runner divides train_batch_size does not hold" in message
    # After a mutation: tests/test_catalog.py and tests/schedulers hold every proposal to the same.


@pytest.mark.fault(42)
def test_budgets_of_nothing_or_more_than_fits_are_refused(cli: Cli) -> None:
    for option, value in (
        ("--trials", "0"),
        ("--trials", "-3"),
        ("--steps", "0"),
        ("--time-budget", "0"),
        ("--concurrent", "0"),
        ("--cpus-per-trial", "0"),
        ("--gpus-per-trial", "-1"),
        ("--max-failures", "-1"),
        ("--quantile", "0.7"),
        ("--resample-probability", "1.5"),
        ("--burn-in", "-5"),
        ("--margin", "-1"),
        ("--seed", "-1"),
    ):
        message = _refused(cli, "dqn", "cartpole", option, value)
        assert f"{option} must be" in message, message
    for words in (
        ("--cpus-per-trial", "4096"),
        ("--set", "num_env_runners=4096"),
        ("--memory-per-trial", "900TiB"),
    ):
        assert "this machine has" in _refused(cli, "dqn", "cartpole", *words)


def test_an_interval_shorter_than_an_episode_is_reported(cli: Cli) -> None:
    words = ("ppo", "cartpole", "--dry-run", "--json", "--perturb-every")
    assert "gives each of 8 environments 250 steps" in cli(*words, "2000").stderr
    assert "gives each" not in cli(*words, "4000").stderr
    assert "gives each" not in cli(*words, "2000", "--scheduler", "asha").stderr


@pytest.mark.fault(42)
def test_sizes_of_memory_and_points_are_checked(cli: Cli) -> None:
    for text, size in (("2GiB", 2 << 30), ("500MB", 500_000_000), ("1.5k", 1_500), ("7", 7)):
        assert options.as_bytes(text) == size
    assert "write it like 2GiB" in _refused(cli, "dqn", "cartpole", "--memory-per-trial", "lots")
    said = _refused(cli, "dqn", "cartpole", "--point", "{lr=5.0, gama=0.9}")
    assert "--point 1: lr = 5.0 lies outside log = [0.0003, 0.003]" in said
    assert "'gama' is not searched. Did you mean 'gamma'?" in said
    assert "write it as --point '{lr=1e-3}'" in _refused(cli, "dqn", "cartpole", "--point", "lr=1")


@pytest.mark.fault(42)
def test_a_missing_gpu_is_refused_at_once(cli: Cli) -> None:
    message = cli("dqn", "cartpole", "--gpus-per-trial", "999")
    assert message.returncode == 2
    assert "a trial asks for 999 GPU (--gpus-per-trial): this machine has" in message.stderr


@pytest.mark.fault(44)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"!!python/object/apply:os.system ['touch pwned']\n", "not TOML"),
        (b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "not TOML"),
        ("[settings]\ngamma = 0.9 # caf\xe9\n".encode("latin-1"), "not UTF-8"),
        (b"\x80\x04\x95.", "not UTF-8"),
    ],
)
def test_a_file_that_is_not_a_preset_is_refused(
    cli: Cli, tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "evil.toml").write_bytes(content)
    assert words in _refused(cli, "dqn", "cartpole", "--preset", "evil.toml")
    assert not (tmp_path / "pwned").exists()


#: The exit code, the message and the memory of a command, whose parent is a small process.
MEASURED = """\
import json, resource, subprocess, sys
words = [sys.executable, "-m", "rltune", *sys.argv[1:]]
done = subprocess.run(words, capture_output=True, text=True)
largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([done.returncode, done.stderr, largest]))
"""


@pytest.mark.fault(44)
def test_a_preset_of_100_megabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.toml").open("wb") as file:
        file.truncate(100_000_000)
    told = run_python(MEASURED, "dqn", "cartpole", "--preset", str(tmp_path / "huge.toml"))
    code, message, kibibytes = json.loads(told)
    assert code == 2
    assert "under 1 MiB" in message
    assert kibibytes < 200_000


@pytest.mark.fault(45)
@pytest.mark.parametrize(
    "name", ["../../etc/x", "/abs", "a\0b", "x" * 300, "run\N{ROCKET}", "-rf", ".hidden", "a b"]
)
def test_run_names_that_are_not_folder_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run name"):
        check_name(name)
    with pytest.raises(BadInput, match="run name"):
        make_spec("dqn", "cartpole", storage=tmp_path, name=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(45)
def test_the_command_line_refuses_a_bad_run_name(cli: Cli) -> None:
    assert "run name" in _refused(cli, "dqn", "cartpole", "--name", "../../etc/x")


@pytest.mark.fault(50)
def test_a_storage_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    # Permissions do not bind root, under which the tests may run: a file in the way binds all.
    (tmp_path / "runs").write_text("not a folder")
    spec = make_spec("dqn", "cartpole", storage=tmp_path / "runs", name="a")
    with pytest.raises(MachineError, match=r"cannot be written.*`storage`") as caught:
        RunFolder.create(spec)
    assert caught.value.exit_code == 3


@pytest.mark.fault(50)
def test_the_command_line_refuses_a_read_only_storage(cli: Cli) -> None:
    done = cli("dqn", "cartpole", "--storage", "/proc/runs")
    assert done.returncode == 3
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.fault(53)
def test_a_second_sweep_of_the_same_name_is_refused(tmp_path: Path) -> None:
    spec = make_spec("dqn", "cartpole", storage=tmp_path, name="a")
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from rltune.runs.folder import RunFolder\n"
            "from rltune.spec import RunSpec\n"
            "import json; folder = RunFolder.create(RunSpec.from_dict(json.load(sys.stdin)))\n"
            "print('held', flush=True); time.sleep(60)",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write(json.dumps(spec.to_dict(), default=dict))
    holder.stdin.close()
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BadInput, match="in use by another rltune process"):
        RunFolder.create(spec)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    # The lock of a dead process is free; the folder it left is not taken for a new run.
    with pytest.raises(BadInput, match=r"exists already.*rltune resume"):
        RunFolder.create(spec)
    folder = RunFolder.open(tmp_path / "a")
    folder.acquire()
    folder.lock.release()


@pytest.mark.fault(60)
def test_secrets_never_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_args = {"api_key": "hunter2", "DB_PASSWORD": "swordfish", "gravity": 9.8}
    command = ["rltune", "dqn", "x", "--env-arg", "api_key=hunter2", "--env-arg", "gravity=9.8"]
    for name in ("RLTUNE_SECRET_API_KEY", "RLTUNE_SECRET_DB_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    hidden = secrets.hide(env_args)
    assert hidden == {
        "api_key": "$RLTUNE_SECRET_API_KEY",
        "DB_PASSWORD": "$RLTUNE_SECRET_DB_PASSWORD",
        "gravity": 9.8,
    }
    assert secrets.redact(command)[4:] == ["api_key=***", "--env-arg", "gravity=9.8"]
    # What makes the environment sees the secret; a later process is told what it lacks.
    assert envs.reveal(hidden) == env_args
    spec = make_spec("dqn", "cartpole", storage=tmp_path, name="a")
    needy = replace(spec, env_options=replace(spec.env_options, env_args=hidden))
    check_there(needy, "a")
    monkeypatch.delenv("RLTUNE_SECRET_API_KEY")
    with pytest.raises(BadInput, match="a needs a secret again: export RLTUNE_SECRET_API_KEY="):
        check_there(needy, "a")


@pytest.mark.fault(60)
@pytest.mark.slow
def test_no_file_of_a_sweep_holds_a_secret(tmp_path: Path) -> None:
    (tmp_path / "keyed.py").write_text(
        textwrap.dedent("""\
        import gymnasium as gym
        from gymnasium.envs.classic_control import CartPoleEnv

        class Keyed(CartPoleEnv):
            def __init__(self, api_key, render_mode=None):
                assert api_key == "hunter2", "the key did not arrive"
                super().__init__()

        gym.register("Keyed-v0", Keyed, max_episode_steps=500)
        """)
    )
    words = "ppo Keyed-v0 --import keyed --env-arg api_key=hunter2 --trials 1 --steps 2048 --name a"
    done = warm.run_rltune(tmp_path, *words.split(), "--scheduler", "fifo")
    assert done.returncode == 0, done.stderr
    files = [path for path in (tmp_path / "runs" / "a").rglob("*") if path.is_file()]
    assert len(files) > 10
    holding = [path for path in files if b"hunter2" in path.read_bytes()]
    assert holding == []
    spec = RunFolder.open(tmp_path / "runs" / "a").spec
    assert spec.env_id == "keyed:Keyed-v0"


@pytest.mark.fault(61)
def test_the_board_listens_on_loopback_alone(tmp_path: Path) -> None:
    RunFolder.create(make_spec("dqn", "cartpole", storage=tmp_path, name="a")).lock.release()
    board = subprocess.Popen(
        [sys.executable, "-m", "rltune", "board", str(tmp_path / "a"), "--port", "0"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert board.stdout is not None
        line = board.stdout.readline()
        assert "http://127.0.0.1:" in line
        processes = [psutil.Process(board.pid), *psutil.Process(board.pid).children(recursive=True)]
        listening = {
            connection.laddr.ip
            for process in processes
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
    finally:
        board.terminate()
        board.wait(20)
        if board.stdout is not None:
            board.stdout.close()


def test_an_import_that_fails_names_itself(cli: Cli) -> None:
    message = _refused(cli, "dqn", "cartpole-x", "--import", "no_such_module")
    assert "--import no_such_module" in message


def test_a_population_with_nothing_to_change_is_refused() -> None:
    preset = catalog.preset("ppo", catalog.environment("cartpole"))
    fixed = {name: preset.settings[name] for name in preset.space}
    activation = {"fcnet_activation": {"choice": ["relu", "tanh"]}}
    with pytest.raises(BadInput, match="nothing to change"):
        make_spec("ppo", "cartpole", settings=fixed, space=activation)
    assert make_spec("ppo", "cartpole", settings=fixed, space=activation, scheduler="fifo")


def test_every_problem_is_reported_at_once(cli: Cli) -> None:
    message = _refused(cli, "dqn", "cartpole", "--set", "gama=1", "--set", "tau=7", "--trials", "0")
    assert len([line for line in message.splitlines() if line.startswith("error: ")]) == 3


def test_a_wrong_option_names_the_right_one(cli: Cli) -> None:
    message = _refused(cli, "dqn", "cartpole", "--trails", "4")
    assert "--trials" in message


def test_an_own_environment_has_no_known_longest_episode(tmp_path: Path) -> None:
    spec = make_spec("ppo", "faulty:Faulty", storage=tmp_path, steps=200_000)
    assert short_interval(spec) is None, "its cap is ours, and says nothing"
    known = make_spec("ppo", "cartpole", storage=tmp_path, steps=2_000)
    assert short_interval(known) is None, "no member pauses before its end"
