"""Every searcher that is ready, over real Ray: settings of all kinds, points, a kill, a resume.

CI has neither ax nor hebo, which are too heavy: `pytest tests/sweeps/test_every_searcher.py -k ax`
in an environment with its extra. Last runs, each passed, on Ray 2.60, numpy 2.4 and pandas 3.1:

- ax 1.3.1 (botorch 0.18.1), 27 November 2026
- hebo 0.3.6, 27 November 2026
"""

from __future__ import annotations

from pathlib import Path

import driving
import pytest
import warm
from conftest import environment
from sweeps.killed import told

from rltune.runs.folder import RunFolder
from rltune.searchers import READY, SEARCHERS
from rltune.searchers.grid import grid
from rltune.space import space_of

SOUND = [name for name, row in SEARCHERS.items() if not row.broken]
#: Samplers of Optuna's, as TPE is; the contract tests drive each of them.
LIKE_TPE = ("cmaes", "gp", "nsga2")


def _trials(searcher: str) -> int:
    if searcher != "grid":
        return driving.TRIALS
    return len(driving.POINTS) + len(grid(space_of(driving.SPACE).space, {}, driving.TRIALS))


@pytest.fixture(scope="module")
def driven(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cluster_address: str
) -> Path:
    folder = tmp_path_factory.mktemp("driven")
    tests = (item for item in request.session.items if item.path == request.path)
    selected = {item.callspec.params["searcher"] for item in tests if hasattr(item, "callspec")}
    asked = [(n, _trials(n)) for n in SOUND if n in selected and SEARCHERS[n].state == READY]
    arguments = (folder, cluster_address, environment(), asked)
    process = warm.server().Process(target=driving.drive, args=arguments)
    process.start()
    process.join(500)
    process.kill()
    process.join()
    assert process.exitcode == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "searcher",
    [pytest.param(name, marks=[pytest.mark.by_hand] if name in LIKE_TPE else []) for name in SOUND],
)
def test_a_searcher_suggests_the_same_after_a_kill(searcher: str, driven: Path) -> None:
    if SEARCHERS[searcher].state != READY:
        pytest.skip(SEARCHERS[searcher].state)
    whole = RunFolder(driven / "whole" / searcher)
    spec = whole.spec
    starts = [dict(whole.reports(name)[0].settings) for name in whole.trials()]
    assert len(starts) == spec.budget.trials
    assert starts[0] == {"lr": 1e-3, "model/layers": 2, "model/activation": "tanh"}
    assert starts[1]["lr"] == 1e-4
    assert all(spec.space.contains(start) for start in starts)
    assert len({str(start) for start in starts}) == len(starts)
    kept = {name: whole.reports(name) for name in whole.trials()[: driving.CUT - 1]}
    assert all(len(rows) == 2 for rows in kept.values())
    assert whole.summary is not None
    assert whole.summary.best is not None
    outcome = told(whole)
    ended_before = [trial["ended_before"] for trial in outcome["parts"]["history"]["trials"]]
    assert ended_before == list(range(1, len(starts) + 1))  # each knew the one before it
    assert told(RunFolder(driven / "cut" / searcher)) == outcome
