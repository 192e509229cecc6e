"""Several seeds without a search: train, certify, and runs beside each other."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from warm import Started, run_rltune

from rltune import catalog
from rltune.metric import RETURN
from rltune.policies import certificates, evaluation
from rltune.policies.certificates import Certificate
from rltune.runs.folder import RunFolder, rank
from rltune.runs.json_text import loads
from rltune.spec import FIRST_EVALUATION_SEED, FIRST_FRESH_SEED, FIRST_SELECTION_SEED

pytestmark = pytest.mark.slow

GOOD = "[budget]\ntarget = 495.0\nsteps = 60_000\n"
BAD = "[budget]\nsteps = 6_000\n[settings]\nlr = 1e-8\n[space]\ngamma = { uniform = [0.9, 0.99] }\n"


@pytest.fixture(scope="module")
def good(folder: Path, cluster_address: str) -> RunFolder:
    """A certification that succeeds, and takes the seconds that two seeds need for CartPole."""
    (folder / "good.toml").write_text(GOOD)
    words = "certify ppo cartpole --seeds 2 --preset good.toml --name good --json".split()
    done = run_rltune(folder, *words, cluster=cluster_address)
    assert done.returncode == 0, done.stderr
    run = RunFolder.open(folder / "runs/good")
    assert loads(done.stdout.splitlines()[-1]) == run.summary_contents
    assert "2 of 2 seeds are over the threshold of 475" in done.stderr
    return run


def _certificate(preset: Path) -> Certificate:
    found = certificates.read(certificates.place("ppo", "cartpole", preset))
    assert found is not None
    return found


def test_a_certificate_states_what_was_reached(good: RunFolder, folder: Path) -> None:
    certificate, summary = _certificate(folder / "good.toml"), good.summary_contents
    assert certificate.share_over_threshold == 1.0
    assert min(certificate.scores) >= 475
    assert list(certificate.ci95) == [None, None]  # of two seeds
    assert certificate.scores == [seed["score"] for seed in summary["seeds"]]
    assert 5_000 < (certificate.env_steps_to_threshold or 0) <= certificate.env_steps <= 62_000
    assert 0 < (certificate.seconds_to_threshold or 0) <= certificate.train_seconds
    assert set(certificate.versions) >= {"rltune", "ray", "torch", "gymnasium", "python"}
    gaps = [seed["selection_score"] - seed["score"] for seed in summary["seeds"]]
    assert certificate.optimism_gap == pytest.approx(sum(gaps) / 2)


def test_every_seed_trains_and_is_scored_on_seeds_of_its_own(good: RunFolder) -> None:
    summary, spec = good.summary_contents, good.spec
    training = [seed["seed"] for seed in summary["seeds"]]
    assert len(set(training)) == 2
    assert all(FIRST_FRESH_SEED <= seed < FIRST_SELECTION_SEED for seed in training)
    tested = [seed for body in summary["seeds"] for seed in body["evaluation"]["seeds"]]
    assert len(set(tested)) == 2 * 100
    assert min(tested) >= FIRST_EVALUATION_SEED
    # Every policy of the way is kept, and played for the curve.
    steps = good.spec.budget.perturb_every
    for body in summary["seeds"]:
        first, *_, last = (at for at, _ in body["curve"])
        assert first < 2 * steps
        assert last == body["env_steps"]
        assert len(body["curve"]) >= last / steps / 2
    # What is written is what the kept checkpoint scores.
    last = summary["seeds"][1]
    again = evaluation.score_of(good, good.path / last["checkpoint"], last["evaluation"]["seeds"])
    assert again.mean == last["score"]
    assert not list(spec.space)
    # A seed ends at its target by itself: the others continue.
    assert summary["stop_reason"] == "target"
    assert len({seed["env_steps"] for seed in summary["seeds"]}) > 1


def test_a_preset_changed_since_is_stale(good: RunFolder, folder: Path) -> None:
    certificate, path = _certificate(folder / "good.toml"), folder / "good.toml"
    env = catalog.environment("cartpole")
    assert not certificate.stale(catalog.preset("ppo", env, str(path)))
    for change in ("[settings]\ngamma = 0.97\n", "[space]\nlr = { log = [1e-5, 2e-2] }\n"):
        changed = folder / "changed.toml"
        changed.write_text(GOOD + change)
        assert certificate.stale(catalog.preset("ppo", env, str(changed)))


def test_a_bad_learning_rate_fails_certification(
    good: RunFolder, folder: Path, cluster_address: str
) -> None:
    (folder / "bad.toml").write_text(BAD)
    words = "certify ppo cartpole --seeds 2 --preset bad.toml --name bad --concurrent 1".split()
    done = run_rltune(folder, *words, "--seed", "5", cluster=cluster_address)
    assert done.returncode == 1, done.stderr
    assert "not certified: 0% of the seeds are over the threshold, 90% must be" in done.stderr
    certificate = _certificate(folder / "bad.toml")
    assert certificate.share_over_threshold == 0.0
    assert certificate.seed == 5
    # A policy that stays as it is scores the same all along: the best record decides.
    run = RunFolder.open(folder / "runs/bad")
    for body in run.summary_contents["seeds"]:
        kept = run.checkpoints_of(body["trial"])
        equals = [
            kept[i]
            for i, (_, score) in enumerate(body["curve"])
            if score == body["selection_score"]
        ]
        assert len(equals) > 1
        assert run.path / body["checkpoint"] == max(
            equals, key=lambda at: rank(run.record(at), RETURN)
        )
    # The two runs beside each other.
    words = "evaluate runs/bad runs/good --episodes 20 --json".split()
    found = loads(run_rltune(folder, *words).stdout)["runs"]
    assert [run["unit"] for run in found] == ["seeds", "seeds"]
    assert found[0]["improvement"] is None
    assert found[1]["improvement"] == {"probability": 1.0, "ci95": [None, None]}  # of two seeds
    assert found[1]["iqm"] > 450 > 200 > found[0]["iqm"]
    shown = run_rltune(folder, *"evaluate runs/bad runs/good --episodes 20".split())
    assert "100%" in shown.stdout
    assert "[100%, 100%]" not in shown.stdout


def test_a_stopped_certification_resumes(folder: Path, cluster_address: str) -> None:
    (folder / "stopped.toml").write_text(BAD.replace("6_000", "8_000"))
    words = "certify ppo cartpole --seeds 2 --preset stopped.toml --name stopped".split()
    process = Started(folder, *words, cluster=cluster_address)
    run = folder / "runs/stopped"
    deadline = time.monotonic() + 120
    while not list(run.glob("trials/*/checkpoints/*/record.json")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.end(60).returncode == 130
    place = certificates.place("ppo", "cartpole", folder / "stopped.toml")
    assert not place.exists()
    done = run_rltune(folder, "resume", "runs/stopped", "--quiet")
    assert done.returncode == 1, done.stderr
    certificate = certificates.read(place)
    assert certificate is not None
    assert certificate.env_steps >= 8_000


def test_uncertifiable_requests_are_refused(folder: Path) -> None:
    done = run_rltune(folder, *"certify ppo FrozenLake8x8-v1 --seeds 2".split())
    assert done.returncode == 2
    assert "no preset of its own for frozenlake8x8" in done.stderr
    done = run_rltune(folder, *"evaluate runs/none".split())
    assert done.returncode == 2
