"""Ray for the time of one sweep: closed to the network, and quiet."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from rltune import descendants
from rltune.envs import SECRET_PREFIX
from rltune.errors import BadInput, MachineError
from rltune.spec import RunSpec

# Before Ray is imported: it reads these once.
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AIR_NEW_OUTPUT="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    # A trial may report before its first episode has ended.
    TUNE_DISABLE_STRICT_METRIC_CHECKING="1",
    # A trial's folder holds what rltune writes; Ray must not change into it.
    RAY_CHDIR_TO_TRIAL_DIR="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    # One idle Python process for each CPU: trials get processes of their own and never take them.
    RAY_prestart_worker_first_driver="0",
    # rltune writes its own state; Tune's comes once, at the end.
    TUNE_GLOBAL_CHECKPOINT_S="1000000000",
)
# What an environment prints lands in Ray's logs: 20 MB of it are kept for each process.
os.environ.setdefault("RAY_ROTATION_MAX_BYTES", str(10 << 20))
os.environ.setdefault("RAY_ROTATION_BACKUP_COUNT", "1")

import ray
from ray._private import ray_constants


def _cpus_here(spec: RunSpec) -> int:
    """CPUs of a Ray of our own: as many as the trials that shall run at a time need."""
    at_a_time = spec.concurrent or max(1, int((os.cpu_count() or 1) / spec.cpus_of_a_trial))
    return max(1, math.ceil(at_a_time * spec.cpus_of_a_trial))


@contextmanager
def ray_session(spec: RunSpec) -> Iterator[int]:
    """Starts Ray here, or connects to ``spec.address``; ends both on the way out.

    Yields the number of trials that run at a time.

    A Ray of our own is exactly as large as the trials that shall run at a time. It listens on
    127.0.0.1 alone and has no dashboard.

    Raises:
        MachineError: Ray does not start, or the cluster does not answer.
        BadInput: the cluster can never hold one trial.
    """
    _share_import_path()
    # "A worker died ...", on stdout, whatever log_to_driver says (ray 2.60, listen_error_messages);
    # whoever watches the sweep is told by us.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    quiet = logging.CRITICAL
    for name in ("ray", "ray.tune", "ray.rllib", "ray.data"):
        logging.getLogger(name).setLevel(quiet)
    try:
        if spec.address:
            ray.init(
                address=spec.address,
                log_to_driver=False,
                logging_level=quiet,
                runtime_env=_secrets(spec),
            )
        else:
            _stay_on_loopback()
            with descendants.marked():
                ray.init(
                    address="local",
                    num_cpus=_cpus_here(spec),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=quiet,
                )
    except (ConnectionError, RuntimeError, OSError, TimeoutError) as error:
        if spec.address is None:
            raise MachineError(f"Ray did not start: {error}") from error
        raise MachineError(
            f"the Ray cluster at {spec.address} did not let us in: {error}. Ray 2.60 clusters ask "
            "for a token unless told otherwise: export RAY_AUTH_MODE=token"
        ) from error
    try:
        check_fits(spec)
        yield _slots(spec)
    finally:
        _shut_down()


def _shut_down() -> None:
    """Ends Ray, and every process below a Ray of our own: no environment is left alive."""
    raylets = ray._private.worker._global_node.all_processes.get("raylet", [])
    below = [
        child
        for raylet in raylets
        for child in psutil.Process(raylet.process.pid).children(recursive=True)
    ]
    ray.shutdown()
    descendants.end(psutil.wait_procs(below, timeout=descendants.PATIENCE)[1])
    descendants.end_orphans()


def _secrets(spec: RunSpec) -> dict[str, dict[str, str]] | None:
    """What workers on other machines need in their environment."""
    names = [v[1:] for v in map(str, spec.env_args.values()) if v.startswith("$" + SECRET_PREFIX)]
    return {"env_vars": {name: os.environ[name] for name in names}} if names else None


def _stay_on_loopback() -> None:
    """Makes Ray listen on 127.0.0.1 alone.

    ``ray.init(_node_ip_address="127.0.0.1")`` puts the machine's own address in its place and
    listens on every interface (ray 2.60, services.resolve_ip_for_localhost; CVE-2023-48022). What
    it does on a machine that cannot form clusters is what is wanted. Processes that Ray starts
    read the variable, this one has read it already.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def cluster_cpus() -> float:
    """CPUs of the Ray that is running."""
    return float(ray.cluster_resources().get("CPU", 0.0))


def _share_import_path() -> None:
    """Lets workers import what the driver can: a checkout, and a user's own modules."""
    own = [path for path in sys.path if path and not path.startswith(sys.base_prefix)]
    own = [path for path in own if not path.startswith(sys.prefix)]
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(p for p in (*own, *inherited) if p))


def needs(spec: RunSpec) -> dict[str, float]:
    """What Ray sets aside for one trial, by Ray's name of the resource."""
    wanted = {
        "CPU": spec.cpus_of_a_trial,
        "GPU": spec.gpus_per_trial,
        "memory": float(spec.memory_per_trial),
    }
    return {resource: amount for resource, amount in wanted.items() if amount}


def _slots(spec: RunSpec) -> int:
    """Trials that run at a time."""
    has = ray.cluster_resources()
    fit = min(int(has.get(resource, 0) / amount) for resource, amount in needs(spec).items())
    return max(1, min(fit, spec.concurrent or fit, spec.budget.trials))


def check_fits(spec: RunSpec) -> None:
    """Refuses a trial that can never start: Ray would let it wait for ever.

    A trial's own process needs one machine that has it all; runners may sit elsewhere.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    together = ray.cluster_resources()
    options = {"CPU": "--cpus-per-trial", "GPU": "--gpus-per-trial", "memory": "--memory-per-trial"}
    own = {**needs(spec), "CPU": spec.cpus_per_trial}
    for resource, wanted in own.items():
        most = max((node.get(resource, 0.0) for node in nodes), default=0.0)
        if wanted > most:
            raise BadInput(
                f"{options[resource]} {shown(resource, wanted)}: no machine here has more than "
                f"{shown(resource, most)}, so no trial could ever start. Ask for fewer."
            )
    if spec.cpus_of_a_trial > together.get("CPU", 0):
        raise BadInput(
            f"a trial with its environment runners takes {spec.cpus_of_a_trial:g} CPU: there are "
            f"{together.get('CPU', 0):g} here, so no trial could ever start. Ask for fewer."
        )


def shown(resource: str, amount: float) -> str:
    """An amount of a resource as a person reads it."""
    return (
        f"{amount / 2**30:.1f} GiB of memory" if resource == "memory" else f"{amount:g} {resource}"
    )
