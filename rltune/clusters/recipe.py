"""Files that start a sweep on a cluster: one template a kind, in ``recipes/``."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FunctionLoader, StrictUndefined

from rltune._version import __version__
from rltune.clusters import instances, own_files
from rltune.clusters.command import Command
from rltune.errors import BadInput, unknown
from rltune.options import Nodes

#: What mounts and exports take without a word about quoting.
PLAIN_PATH = re.compile(r"(/[A-Za-z0-9_.-]+)+")
#: Bytes of files that a ConfigMap holds; Kubernetes takes 1 MiB with everything around them.
IN_A_CONFIG_MAP = 900_000
#: Memory of a node of KubeRay for each of its CPUs.
MEMORY_PER_CPU = 2 << 30


@dataclass(frozen=True)
class Kind:
    """A kind of cluster.

    Attributes:
        doc: one line for help.
        template: file in ``recipes/``.
        travels: whether the user's files are not on the cluster's storage already.
        storage: folder of runs there; None for the user's own.
        takes: options of :class:`rltune.options.Nodes` that it reads.
        use: how the file is used; ``FILE`` and ``RUN`` stand for its name and the run folder.
        in_image: whether an image that is asked for has rltune already.
        types: machine types of a cloud.
        region: where a cloud's machines are, unless told otherwise.
    """

    doc: str
    template: str
    travels: bool
    storage: str | None
    takes: tuple[str, ...]
    use: tuple[str, ...]
    in_image: bool = False
    types: tuple[tuple[int, int, str], ...] = ()
    region: str = ""


_ON_A_CLOUD = (
    "ray get-auth-token --generate > /dev/null   # once: the cluster asks for this token",
    "ray up --yes FILE",
    "ray exec FILE 'bash sweep.sh'               # again after an interruption: it continues",
    "ray rsync-down FILE RUN .                   # fetches the run folder",
    "ray down --yes FILE                         # ends the cluster, and its disks with it",
)

KINDS = {
    "slurm": Kind(
        "a batch script for Slurm, with preemption and requeue",
        "slurm.sh.j2",
        travels=False,
        storage=None,
        takes=("nodes", "node_cpus", "node_gpus"),
        use=(
            "sbatch FILE                                # its options come first: --partition gpu",
            "rltune watch RUN",
        ),
    ),
    "kuberay": Kind(
        "a RayJob for the KubeRay operator, 1.5.1 or later",
        "kuberay.yaml.j2",
        travels=True,
        storage="/mnt/rltune/runs",
        takes=("nodes", "node_cpus", "node_gpus", "node_memory", "image", "install"),
        use=(
            "kubectl apply -f FILE               # the volume needs a class of ReadWriteMany",
            "kubectl get -w -f FILE              # a retry continues the sweep",
        ),
        in_image=True,
    ),
    "aws": Kind(
        "a cluster for `ray up` on AWS",
        "aws.yaml.j2",
        travels=True,
        storage="/home/ubuntu/runs",
        takes=("nodes", "node_cpus", "node_gpus", "image", "install", "region"),
        use=("pip install boto3", *_ON_A_CLOUD),
        types=tuple(instances.AWS),
        region="us-west-2",
    ),
    "gcp": Kind(
        "a cluster for `ray up` on Google Cloud",
        "gcp.yaml.j2",
        travels=True,
        storage="/home/ubuntu/runs",
        takes=("nodes", "node_cpus", "node_gpus", "image", "install", "region", "project"),
        use=("pip install google-api-python-client cryptography", *_ON_A_CLOUD),
        types=tuple(instances.GCP),
        region="us-central1-a",
    ),
}


def kind(name: str) -> Kind:
    """The kind of a name.

    Raises:
        BadInput: there is none.
    """
    if name not in KINDS:
        raise unknown("kind of recipe", name, KINDS)
    return KINDS[name]


def whole(storage: str) -> str:
    """A folder of a cluster. Raises BadInput for a relative one, or the root."""
    path = storage.rstrip("/")
    if not path.startswith("/") or ".." in Path(path).parts:
        raise BadInput(
            f"storage {storage!r}: name the whole path that it has on the cluster, "
            "as `storage='/mnt/runs'`"
        )
    return path


def render(kind: Kind, command: Command, nodes: Nodes, needs: str) -> str:
    """The file of a recipe.

    Args:
        needs: what pip installs unless told otherwise.

    Raises:
        BadInput: the nodes or the user's files are not what this kind can have.
    """
    storage = command.run.rpartition("/")[0]
    if kind.travels and not PLAIN_PATH.fullmatch(storage):
        raise BadInput(f"storage {storage!r}: use letters, digits, '.', '_', '-' and '/' alone")
    if not nodes.install and not (nodes.image and kind.in_image):
        nodes = replace(nodes, install=(needs,))
    values: dict[str, Any] = {
        "command": command,
        "name": command.run.rpartition("/")[2],
        "storage": storage,
        "folder": str(Path.cwd()),
        "nodes": nodes,
        "memory": memory(kind, nodes),
        "ray": version("ray"),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "rltune": __version__,
        "region": nodes.region or kind.region,
        "runtime_env": yaml.safe_dump({"pip": list(nodes.install)}),
        "contents": _contents(command) if kind.template == "kuberay.yaml.j2" else {},
    }
    if kind.types:
        values["type"] = instances.smallest(list(kind.types), nodes.node_cpus, nodes.node_gpus)
    environment = Environment(
        loader=FunctionLoader(_template),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"shell": _shell, "yaml": quoted, "words": shlex.join, "label": _label}
    return environment.get_template(kind.template).render(values)


def memory(kind: Kind, nodes: Nodes) -> int | None:
    """Bytes of a node's memory; None where the kind does not say."""
    if "node_memory" not in kind.takes:
        return None
    return nodes.node_memory or nodes.node_cpus * MEMORY_PER_CPU


def quoted(text: str) -> str:
    """A text as YAML writes it in quotes, on one line, whatever is in it."""
    written = yaml.safe_dump(str(text), default_style='"', width=sys.maxsize, allow_unicode=True)
    return str(written).removesuffix("\n")


def _template(name: str) -> str:
    return (files("rltune.clusters") / "recipes" / name).read_text(encoding="utf-8")


def _shell(text: Any) -> str:
    return shlex.quote(str(text))


def _label(name: str) -> str:
    """A run's name as Kubernetes and the clouds take names: it begins with a letter."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (plain if plain[:1].isalpha() else f"r-{plain}")[:40].strip("-")


def _contents(command: Command) -> Mapping[str, str]:
    """The text of each of the user's files.

    Raises:
        BadInput: a file is no text, or they are too large together.
    """
    folder = Path.cwd()
    own_files.check_size(command.files, folder, IN_A_CONFIG_MAP)
    read = partial(Path.read_text, encoding="utf-8")
    try:
        return {str(path): read(folder / path) for path in command.files}
    except UnicodeDecodeError as error:
        raise BadInput(
            f"one of your files is no text ({error}), and a ConfigMap holds nothing else: put it "
            "into the image"
        ) from None
