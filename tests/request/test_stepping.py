"""``env_processes``: in how many processes the copies of a trial are stepped, and what is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rltune import envs
from rltune.errors import BadInput
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec

pytestmark = pytest.mark.skipif(not envs.POSSIBLE, reason="processes cannot be forked here")

SLOW = "faulty:Slow"


def _spec(tmp_path: Path, env: str = SLOW, copies: int = 4, **options: Any) -> RunSpec:
    settings = {"num_envs_per_env_runner": copies, **options.pop("settings", {})}
    if env == SLOW:
        options.setdefault("env_args", {"seconds": 0.002})
    return make_spec("ppo", env, storage=tmp_path, settings=settings, **options)


def _told(spec: RunSpec) -> tuple[int | None, str]:
    return spec.env_options.env_processes, spec.stepping


def test_slow_environments_get_a_process_for_each_cpu(tmp_path: Path) -> None:
    spec = _spec(tmp_path, cpus_per_trial=2)
    count, told = _told(spec)
    assert count == 2
    assert re.fullmatch(r"4 copies in 2 processes; a step of one takes \d+\.\d ms", told)
    assert RunFolder.create(spec).spec == spec
    assert _told(_spec(tmp_path, cpus_per_trial=2, env_processes=1)) == (
        1,
        "one process, as asked for",
    )
    single = (1, "a single copy, in one process: num_envs_per_env_runner is 1")
    assert _told(_spec(tmp_path, cpus_per_trial=2, copies=1)) == single
    assert _told(_spec(tmp_path)) == (1, "")


def test_quick_environments_stay_in_one_process(tmp_path: Path) -> None:
    count, told = _told(_spec(tmp_path, "faulty:Faulty", cpus_per_trial=2))
    assert count == 1
    assert told.startswith("4 copies one after the other in one process: a step of one takes ")
    assert told.endswith(" us, passing it between 2 processes costs more")
    count, told = _told(_spec(tmp_path, "cartpole", 8, cpus_per_trial=2, batch="off"))
    assert (count, told) == (1, "gymnasium steps all 8 copies of cartpole at once, in one process")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"env": "cartpole", "copies": 8}, "env_processes 2: gymnasium steps all 8 copies"),
        ({"copies": 1}, r"env_processes 2: a trial has 1 copies: `settings=\{'num_envs"),
        ({"settings": {"num_env_runners": 1}}, "env_processes 2: each of the num_env_runners"),
        ({"batch": 2}, "batch 2: a batch steps its environments in one process"),
    ],
)
def test_processes_that_would_not_act_are_refused(
    tmp_path: Path, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadInput, match=f"^{why}"):
        _spec(tmp_path, env_processes=2, **options)
