"""What the seeds of a training run come to together."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, Group

from rltune.cli.outcome.seeds import seeds
from rltune.policies import certificates
from rltune.reports.headline import remarks
from rltune.reports.run_view import RunView
from rltune.request.resolve import make_request
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import SeedOutcome, SeedStatistics, Summary
from rltune.spec import RunSpec
from rltune.sweeps.jobs.multi_seed import across, certify


def _found(scores: list[float]) -> list[SeedOutcome]:
    return [
        SeedOutcome(
            trial=f"t{n:02d}",
            score=score,
            selection_score=score,
            checkpoint="",
            env_steps=1_000,
            train_seconds=1.0,
            env_steps_to_threshold=None,
        )
        for n, score in enumerate(scores)
    ]


def _summary(together: SeedStatistics) -> Summary:
    return Summary(
        best=None,
        evaluation=None,
        env_steps=1,
        wall_seconds=1.0,
        trials=[],
        stop_reason="steps",
        seeds=[],
        across_seeds=together,
    )


def _shown(spec: RunSpec, summary: Summary) -> str:
    assert summary.across_seeds is not None
    screen = io.StringIO()
    Console(file=screen, width=300).print(Group(*seeds(spec, summary, summary.across_seeds)))
    return screen.getvalue()


def _spec(storage: Path, **options: object) -> RunSpec:
    return make_request("ppo", "cartpole", job="train", storage=storage, **options)[0]


def test_failing_seeds_and_the_worst_tenth_are_told(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    found = across(spec, _found([100.0, 300.0, *[500.0] * 18]))
    assert found.failure_rate == 0.1
    assert found.failure_rate_ci95 == pytest.approx((0.0279, 0.3010), abs=1e-4)
    assert found.worst_tenth == 200.0
    low, high = found.worst_tenth_ci95 or (0.0, 0.0)
    assert 100.0 <= low < 200.0 < high <= 500.0
    assert SeedStatistics.from_dict(found.to_dict()) == found

    summary = _summary(found)
    told = (
        "ailure rate 10 %, 95 % interval [2.8 %, 30.1 %]; mean of the worst tenth of the seeds 200"
    )
    assert told in _shown(spec, summary)
    folder = RunFolder.create(spec)
    folder.lock.release()
    assert any(told in one for one in remarks(RunView.of(folder, spec, folder.job, summary)))

    path = tmp_path / "made.json"
    certify(spec, {"preset": {}, "file": str(path)}, found)
    written = certificates.read(path)
    assert written is not None
    assert written.batch == "off"
    assert (written.failure_rate, written.worst_tenth) == (0.1, 200.0)


def test_the_worst_of_what_is_minimised_is_the_largest(tmp_path: Path) -> None:
    spec = replace(_spec(tmp_path), metric="episode_len_mean", mode="min")
    found = across(spec, _found([float(n) for n in range(10)]))
    assert (found.worst_tenth, found.failure_rate) == (9.0, None)
    low, high = found.worst_tenth_ci95 or (0.0, 0.0)
    assert low <= high == 9.0


def test_seconds_of_a_batch_are_told(tmp_path: Path) -> None:
    """They are those of all seeds in it: a certificate of single seeds has fewer."""
    spec = _spec(tmp_path, batch=8)
    found = across(spec, _found([500.0] * 9))
    assert "seeds trained together: seconds are those of a batch" in _shown(spec, _summary(found))
    path = tmp_path / "made.json"
    certify(spec, {"preset": {}, "file": str(path)}, found)
    written = certificates.read(path)
    assert written is not None
    assert written.batch == "8"


def test_nine_seeds_have_no_worst_tenth(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    found = across(spec, _found([100.0] * 9))
    assert (found.worst_tenth, found.failure_rate) == (None, None)
    assert "worst_tenth" not in found.to_dict()
    told = "failure rate and mean of the worst tenth are not told: it takes 10 seeds, here are 9"
    assert told in _shown(spec, _summary(found))
