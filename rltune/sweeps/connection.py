"""Joins a cluster that runs, asks its nodes what they lack, and ships code to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import ray

from rltune.clusters import nodes
from rltune.clusters.comparison import Needs
from rltune.clusters.nodes import Answer
from rltune.clusters.shipment import Shipment
from rltune.errors import BadInput, MachineError, RltuneError
from rltune.spec import RunSpec
from rltune.sweeps.ray_adapter import driver
from rltune.sweeps.surroundings import CHECKOUT, QUIET, for_other_machines, job_config

NO_CLIENT = (
    "Tune drives trials from within a cluster, and not through Ray Client (ray://). Type `rltune "
    "ALGO ENV` with `address='ray://HOST:10001'`, which runs the command on the cluster's head, or "
    "run this on a machine of the cluster, with `address='auto'`"
)
NOTHING = Shipment(False, ())
Notice = Callable[[str], None]


def connect(spec: RunSpec, address: str, shipment: Shipment = NOTHING) -> None:
    """Connects this process to a cluster.

    Args:
        shipment: code that trials import from copies.

    Raises:
        BadInput: it is another Ray or Python, or no address of a cluster.
        MachineError: the cluster does not answer.
    """
    if "://" in address:
        raise BadInput(NO_CLIENT)
    nodes.check_answers(address)
    variables = {**for_other_machines(spec), **shipment.variables}
    with ExitStack() as stack:
        environment: dict[str, Any] = {"env_vars": variables} if variables else {}
        if shipment:
            environment["py_modules"] = stack.enter_context(shipment.folders())
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=QUIET,
                runtime_env=environment or None,
                job_config=job_config(_shadowing(shipment)),
            )
        except (ConnectionError, RuntimeError, OSError, TimeoutError) as error:
            raise _meant(address, error) from error


def equip(spec: RunSpec, address: str, notice: Notice) -> None:
    """Ships what nodes of the cluster lack; this process is connected to it.

    Raises:
        BadInput: nodes lack what cannot be shipped.
        MachineError: the shipment does not arrive.
    """
    needs = Needs.of(spec)
    answers = nodes.ask(needs.wanted, {})
    _check(needs, answers)
    shipment, lacking = needs.lacking(answers)
    if shipment:
        ray.shutdown()
        connect(spec, address, shipment)
        notice(f"ships {shipment.shown} to {_count(lacking)}")
        answers = nodes.ask(needs.wanted, {})
        _check_arrived(needs, answers)
    _tell(needs, answers, notice)


def check_nodes(spec: RunSpec, notice: Notice) -> None:
    """Refuses a cluster whose nodes lack something, where the user's process is connected to it.

    A Ray that this process has started has what this process has.

    Raises:
        BadInput: with what is missing where.
    """
    if driver.raylets():
        return
    needs = Needs.of(spec)
    answers = nodes.ask(needs.wanted, driver.TRIAL_VARIABLES)
    _check(needs, answers)
    shipment, lacking = needs.lacking(answers)
    if shipment:
        raise BadInput(
            f"{shipment.shown}: not there, or not the same, on {_count(lacking)} ({lacking[0]}). "
            "Leave out ray.init and give `address='auto'`, which ships it, or install it there"
        )
    _tell(needs, answers, notice)


def _check(needs: Needs, answers: Sequence[Answer]) -> None:
    if problems := needs.problems(answers):
        raise BadInput(problems)


def _check_arrived(needs: Needs, answers: Sequence[Answer]) -> None:
    still, lacking = needs.lacking(answers)
    if still:
        raise MachineError(f"{still.shown} was shipped, and did not arrive on {lacking[0]}")


def _tell(needs: Needs, answers: Sequence[Answer], notice: Notice) -> None:
    if differences := needs.differences(answers):
        notice(f"warning: versions differ between nodes, and so may results: {differences}")
    silent = [answer for answer in answers if answer.facts is None]
    if silent:
        told = f"{silent[0].node} ({silent[0].error})"
        notice(f"warning: {_count(silent)} did not say what is there, of them {told}")


def _count(found: Sequence[Any]) -> str:
    return f"{len(found)} node{'s' if len(found) > 1 else ''}"


def _shadowing(shipment: Shipment) -> list[str]:
    """Folders that trials must not import from, as they have copies."""
    return [*map(str, shipment.roots), *([CHECKOUT] if shipment.rltune else [])]


def _meant(address: str, error: Exception) -> RltuneError:
    """Says in our words why Ray did not connect."""
    text = str(error)
    versions = re.findall(r"(Ray|Python): (\S+)", text)
    if "Version mismatch" in text and len(versions) == 4:
        there, here = (" and ".join(map(" ".join, half)) for half in (versions[:2], versions[2:]))
        return BadInput(
            f"the cluster at {address} runs {there}, this process {here}: install the same "
            "versions on both"
        )
    return MachineError(
        f"the Ray cluster at {address} did not let us in: {error}. Ray 2.60 clusters ask "
        "for a token unless told otherwise: export RAY_AUTH_MODE=token"
    )
