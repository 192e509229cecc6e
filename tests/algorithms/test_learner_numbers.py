"""The few numbers of a learner in each report: there, finite, and what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from quick import make

from rltune.algorithms.last_metrics import LastMetrics
from rltune.algorithms.learner_numbers import learner_numbers, norm_name

LOSSES_OF_PPO = {"policy_loss", "vf_loss"}
EXPECTED = {
    "ppo": {*LOSSES_OF_PPO, "entropy", "kl", "explained_variance", "gradient_norm"},
    "dqn": {"qf_loss", "q_mean", "td_error", "gradient_norm"},
    "sac": {
        *("policy_loss", "qf_loss", "alpha_loss", "alpha"),
        *("entropy", "q_mean", "td_error", "gradient_norm"),
    },
}


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("algo", EXPECTED)
def test_a_report_has_the_few_numbers(algo: str) -> None:
    member = make(algo)
    numbers = member.train()["learner"]
    assert set(numbers) == EXPECTED[algo]
    assert all(math.isfinite(value) for value in numbers.values())
    assert numbers["gradient_norm"] > 0
    member.cleanup()


@pytest.mark.usefixtures("ray_session")
def test_the_kl_divergence_is_that_between_two_policies() -> None:
    """Measured here on the whole batch, from the networks before and after an iteration."""
    member = make("ppo", lr=1e-3, num_epochs=4)
    kept: dict[str, torch.Tensor] = {}
    log_kl = member.learner._log_kl
    member.learner._log_kl = lambda batch: (kept.update(batch), log_kl(batch))
    told = member.train()["learner"]["kl"]
    logits = {
        "before": kept["action_dist_inputs"],
        "now": member.learner.net.pi(
            member.learner.net.encoder({"obs": kept["obs"]})["encoder_out"]["actor"]
        ),
    }
    before, now = (torch.distributions.Categorical(logits=each) for each in logits.values())
    expected = torch.distributions.kl_divergence(before, now).mean().item()
    assert told == pytest.approx(expected, rel=1e-3)
    assert 0 < told < 1
    member.cleanup()


def test_numbers_of_several_modules_stand_below_their_names() -> None:
    results = {
        "left": {"entropy": 0.5, "num_module_steps": 9.0, "policy_loss": math.nan},
        "right": {"logps": -1.25, norm_name("qf"): 3.0, norm_name("policy"): 4.0},
        "__all_modules__": {"entropy": 1.0},
    }
    assert learner_numbers(results) == {
        "left/entropy": 0.5,
        "right/entropy": 1.25,
        "right/gradient_norm": 5.0,
    }
    assert learner_numbers({"only": {"vf_explained_var": np.float32(1 / 3)}}) == {
        "explained_variance": 0.333333
    }


def test_every_single_number_is_read_nested_by_its_key() -> None:
    metrics = LastMetrics()
    metrics.log_dict({"loss": torch.tensor([2.0], requires_grad=True), "rate": 0.5}, key="module")
    metrics.log_value(("module", "errors"), torch.ones(3))
    assert metrics.scalars() == {"module": {"loss": 2.0, "rate": 0.5}}
    assert LastMetrics().scalars() == {}
