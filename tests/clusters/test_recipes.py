"""Recipes: each is valid where it is used, and holds the user's words exactly."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from conftest import Said

from rltune.clusters import own_files
from rltune.clusters.recipe import KINDS, quoted

SCHEMA = json.loads((Path(__file__).parent / "rayjob.schema.json").read_text())
#: Words that shells, YAML and templates give a meaning to.
NASTY = [
    *("it's", 'say "x"', "a b", "a: b", "- a", "#x", "$HOME `id` $(id)", "%s\\n", "{{ 7 * 7 }}"),
    *("{% raw %}", "a\nb: c", "\ttab", "é☃🙂", "\x7f\x85", "!!python/object", "'\"'\"'", "*a &b"),
    *("true", "null", "1e5", "\\", "@x", ">", "|", "a\\nb", "? x", "EOF", "~"),
]
#: Further options that a kind needs.
NEEDS = {"gcp": "--project p-1"}


@pytest.fixture
def printed(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Prints a recipe, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(kind: str, words: str = "ppo cartpole") -> str:
        code, out, err = said(f"recipe {kind} {words} {NEEDS.get(kind, '')}")
        assert code == 0, err
        assert "how to use it" in err
        return out

    return run


def sweep(kind: str, text: str) -> list[str]:
    """The words that start the sweep, as the shell that runs the recipe has them."""
    if kind == "slurm":
        script = re.search(r"^if .*?^fi$", text, re.DOTALL | re.MULTILINE)
        assert script is not None
        shown = f"{script[0]}\nprintf '%s\\0' \"${{sweep[@]}}\""
        return shell(shown)
    if kind == "kuberay":
        script_text = next(yaml.safe_load_all(text.split("---\n")[1]))["data"]["sweep.sh"]
    else:
        (command,) = (c for c in yaml.safe_load(text)["head_setup_commands"] if "sweep.sh" in c)
        script_text = shell(command.removesuffix("> ~/sweep.sh"))[0]
    start = script_text.partition("\nfi\nexec ")[2]
    return shell(f"printf '%s\\0' {start}")


def shell(script: str) -> list[str]:
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.removesuffix("\0").split("\0")


@pytest.mark.parametrize("kind", KINDS)
def test_words_reach_the_cluster_as_they_were_typed(
    kind: str, printed: Callable[..., str], tmp_path: Path
) -> None:
    """Arguments of an environment are whatever its author takes."""
    (tmp_path / "own.py").write_text(OWN)
    words = [w for number, nasty in enumerate(NASTY) for w in ("--env-arg", f"a{number}={nasty}")]
    line = shlex.join(["ppo", "own.py:Env", *words, "--steps", "30k", "--no-report"])
    started = sweep(kind, printed(kind, f"{line} --name n.1"))
    assert started[:3] == ["rltune", "ppo", "own.py:Env"]
    given = [w for w in started if w.startswith("a") and w != "auto"]
    assert given == [f"a{number}={nasty}" for number, nasty in enumerate(NASTY)]
    assert "--no-report" in started
    assert started[started.index("--steps") + 1] == "30k"
    assert started[started.index("--name") + 1] == "n.1"
    assert started[started.index("--address") + 1] == "auto"


OWN = """\
import gymnasium as gym

class Env(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)
    def __init__(self, **any): pass
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), {}
    def step(self, action):
        self.steps += 1
        return self.observation_space.sample(), float(action), False, self.steps >= 20, {}
"""


@pytest.mark.parametrize("text", NASTY)
def test_a_text_in_yaml_is_the_same_text(text: str) -> None:
    assert yaml.safe_load(f"key: [{quoted(text)}] # end") == {"key": [text]}


def test_the_batch_script_is_a_script(printed: Callable[..., str]) -> None:
    script = printed("slurm", "ppo cartpole --trials 8 --node-gpus 2 --gpus-per-trial 0.5")
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    checker = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([checker, "-"], input=script, text=True, capture_output=True, check=False)
    assert done.stdout == ""
    directives = re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", script, re.MULTILINE)
    assert dict(directives) | {"nodes": "2", "gres": "gpu:2", "requeue": ""} == dict(directives)


@pytest.mark.parametrize("more", ["", "--nodes 1", "--node-gpus 4 --gpus-per-trial 1 --image a:b"])
def test_the_manifest_is_one_of_kuberay(printed: Callable[..., str], more: str) -> None:
    claim, config, job = yaml.safe_load_all(printed("kuberay", f"ppo cartpole {more}"))
    jsonschema.validate(job, SCHEMA)
    spec = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["runs"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert volumes["job"]["configMap"]["name"] == config["metadata"]["name"]
    keys = {item["key"] for item in volumes["job"]["configMap"]["items"]}
    assert keys == set(config["data"])
    assert ("runtimeEnvYAML" in job["spec"]) == ("--image" not in more)


@pytest.mark.parametrize("kind", ["aws", "gcp"])
@pytest.mark.parametrize("more", ["", "--nodes 1", "--nodes 9 --node-gpus 1 --node-cpus 8"])
def test_ray_up_takes_the_cluster(printed: Callable[..., str], kind: str, more: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load(printed(kind, f"ppo cartpole {more}")))
    validate_config(config)
    nodes = int(more.split()[1]) if more else 2
    assert config["max_workers"] == nodes - 1
    workers = sum(each.get("min_workers", 0) for each in config["available_node_types"].values())
    assert workers == nodes - 1
    for command in [c for name, cs in config.items() if name.endswith("commands") for c in cs]:
        done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, check=False)
        assert done.returncode == 0, command


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("recipe slrum ppo cartpole", "Did you mean 'slurm'?"),
        ("recipe slurm ppoo cartpole", "Did you mean 'ppo'?"),
        ("recipe slurm ppo cartpoel", "Did you mean 'cartpole'?"),
        ("recipe slurm ppo cartpole --scheduler pbtt", "Did you mean 'pbt'?"),
        ("recipe slurm ppo cartpole --image x", "--image is not for slurm"),
        ("recipe slurm ppo cartpole --address auto", "--address"),
        ("recipe slurm ppo cartpole --name a/b", "run name"),
        ("recipe slurm ppo cartpole --node-cpus 2 --cpus-per-trial 4", "a node has 2 CPUs"),
        ("recipe slurm ppo cartpole --gpus-per-trial 1", "a node has 0 GPU"),
        ("recipe kuberay ppo cartpole --storage runs", "--storage /mnt/runs"),
        ("recipe kuberay ppo cartpole --storage '/a b'", "use letters"),
        ("recipe kuberay ppo cartpole --from old", "former"),
        ("recipe kuberay ppo cartpole --memory-per-trial 64GiB", "a node has 32.0 GiB"),
        ("recipe slurm ppo cartpole --ship x", "--ship is not for slurm"),
        ("recipe aws ppo cartpole --node-cpus 500", "no machine type"),
        ("recipe gcp ppo cartpole", "--project is missing"),
        ("recipe kuberay ppo cartpole --ship nowhere", "no such file"),
        ("recipe kuberay ppo cartpole --ship ..", "lies outside"),
    ],
)
def test_a_wrong_word_is_refused(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    code, out, err = said(words)
    assert (code, out) == (2, "")
    assert problem in err


def test_more_nodes_than_this_machine_has_are_no_problem(printed: Callable[..., str]) -> None:
    line = "ppo cartpole --node-cpus 96 --cpus-per-trial 90 --memory-per-trial 100GiB"
    assert "--cpus-per-task=96" in printed("slurm", line)


def test_a_secret_stays_out_of_the_file(
    printed: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.delenv("RLTUNE_SECRET_API_KEY", raising=False)
    for kind in KINDS:
        text = printed(kind, "ppo own.py:Env --env-arg api_key=hunter2")
        assert "hunter2" not in text
        assert "api_key=$RLTUNE_SECRET_API_KEY" in sweep(kind, text)


def test_a_secret_of_one_of_several_environments_stays_out_too(
    printed: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(OWN + "\n\nclass Other(Env):\n    pass\n")
    monkeypatch.delenv("RLTUNE_SECRET_ENV_API_KEY", raising=False)
    words = "--threshold own.py:Env=10 --threshold own.py:Other=10 --batch off"
    text = printed("slurm", f"ppo own.py:Env,own.py:Other --env-arg Env:api_key=hunter2 {words}")
    assert "hunter2" not in text
    assert "Env:api_key=$RLTUNE_SECRET_ENV_API_KEY" in sweep("slurm", text)


def test_what_own_code_imports_travels_with_it(printed: Callable[..., str], tmp_path: Path) -> None:
    """And what lies beside it stays: a secret, a cache, another experiment."""
    (tmp_path / "own.py").write_text(f"import json, helper\nfrom parts.deep import x\n{OWN}")
    (tmp_path / "helper.py").write_text("import second\n")
    (tmp_path / "second.py").write_text("import own\n")
    (tmp_path / "parts").mkdir()
    for name in ("__init__.py", "deep.py", "data.txt", ".env"):
        (tmp_path / "parts" / name).write_text("x = 1\n" if name.endswith(".py") else "data")
    for name in ("other.py", ".env", "id_rsa", "table.csv"):
        (tmp_path / name).write_text("")
    text = printed("kuberay", "ppo own.py:Env --ship table.csv")
    _, config, job = yaml.safe_load_all(text)
    spec = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    items = spec["volumes"][1]["configMap"]["items"]
    contents = {item["path"]: config["data"][item["key"]] for item in items}
    assert set(contents) == {
        *("sweep.sh", "own.py", "helper.py", "second.py", "table.csv"),
        *("parts/__init__.py", "parts/deep.py", "parts/data.txt"),
    }
    assert contents["helper.py"] == "import second\n"
    for kind in ("aws", "gcp"):
        mounts = yaml.safe_load(printed(kind, "ppo own.py:Env"))["file_mounts"]
        assert mounts["/home/ubuntu/job/own.py"] == str(tmp_path / "own.py")


def test_a_file_of_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "env.py").write_text("")
    with pytest.raises(Exception, match="lies outside"):
        own_files.of_modules(["../env.py:Env"], tmp_path / "here")


def test_the_extras_that_a_sweep_needs_are_installed(printed: Callable[..., Any]) -> None:
    text = printed("aws", "ppo lunarlander --searcher tpe")
    assert "rltune[box2d,optuna]==" in text or "rltune[box2d]==" in text
    assert "'my wheel.whl'" in printed("aws", "ppo cartpole --install 'my wheel.whl'")
