"""Losses, gradients and updates beside stock RLlib's learners, on the same batch and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from quick import GPUS
from ray.rllib.algorithms.sac.torch.default_sac_torch_rl_module import DefaultSACTorchRLModule
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from stock import stock_config

from rltune import algorithms, envs
from rltune.algorithms.sac import ObsActionCatalog
from rltune.engine.noisy_linear import NoisyLinear

pytestmark = pytest.mark.usefixtures("ray_session")

ROWS = 48
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {
        "fcnet_hiddens": [16, 16],
        "vf_share_layers": False,
        "use_kl_loss": False,
        "vf_clip_param": float("inf"),
        "grad_clip": 0.5,
        "lr": 1e-3,
    },
    "dqn": {
        "fcnet_hiddens": [16, 16],
        "double_q": False,
        "dueling": False,
        "grad_clip": 10.0,
        "lr": 1e-3,
    },
    "sac": {
        "fcnet_hiddens": [16, 16],
        "actor_lr": 1e-3,
        "critic_lr": 2e-3,
        "alpha_lr": 3e-3,
        "grad_clip": None,
    },
}
#: Every option of a preset that reaches the loss: algorithm, environment, settings.
CASES = {
    "ppo": ("ppo", "cartpole", {}),
    "ppo-box": ("ppo", "pendulum", {}),
    "ppo-shared": ("ppo", "cartpole", {"vf_share_layers": True}),
    "ppo-kl": ("ppo", "cartpole", {"use_kl_loss": True, "kl_coeff": 0.7}),
    "ppo-box-kl": ("ppo", "pendulum", {"use_kl_loss": True, "kl_coeff": 0.7}),
    "ppo-entropy": ("ppo", "cartpole", {"entropy_coeff": 0.05}),
    "ppo-entropy-schedule": ("ppo", "cartpole", {"entropy_coeff": [[0, 0.5], [1000, 0.0]]}),
    "ppo-lr-schedule": ("ppo", "cartpole", {"lr": [[0, 1e-2], [1000, 0.0]]}),
    "ppo-value-clip": ("ppo", "cartpole", {"vf_clip_param": 0.3}),
    "dqn": ("dqn", "cartpole", {}),
    "dqn-wide": ("dqn", "cartpole", {"fcnet_hiddens": [256, 256], "double_q": True}),
    "dqn-tanh": ("dqn", "cartpole", {"fcnet_activation": "tanh"}),
    "dqn-swish": ("dqn", "cartpole", {"fcnet_activation": "swish"}),
    "dqn-mse": ("dqn", "cartpole", {"td_error_loss_fn": "mse"}),
    "dqn-double": ("dqn", "cartpole", {"double_q": True}),
    "dqn-dueling": ("dqn", "cartpole", {"dueling": True}),
    "dqn-distributional": ("dqn", "cartpole", {"num_atoms": 11, "v_min": -5.0, "v_max": 5.0}),
    "dqn-rainbow": (
        "dqn",
        "acrobot",
        {"num_atoms": 11, "v_min": -5.0, "v_max": 5.0, "double_q": True, "dueling": True},
    ),
    "dqn-noisy": ("dqn", "cartpole", {"noisy": True, "dueling": True}),
    "dqn-lr-schedule": ("dqn", "cartpole", {"lr": [[0, 1e-2], [1000, 0.0]]}),
    "sac": ("sac", "pendulum", {}),
    "sac-one-critic": ("sac", "pendulum", {"twin_q": False}),
    "sac-mse": ("sac", "pendulum", {"td_error_loss_fn": "mse"}),
    "sac-mse-one-critic": ("sac", "pendulum", {"td_error_loss_fn": "mse", "twin_q": False}),
    "sac-lr-schedule": ("sac", "pendulum", {"critic_lr": [[0, 1e-2], [1000, 0.0]]}),
}


class Pair:
    """Our learner and RLlib's, with the same weights, at step 400 of their schedules."""

    def __init__(self, algo: str, env: str, changes: dict[str, Any]) -> None:
        settings = {**SETTINGS[algo], **changes}
        made = envs.make(env)
        self.observations, self.actions = made.observation_space, made.action_space
        made.close()
        stock = stock_config(algo, env, {k: v for k, v in settings.items() if k != "noisy"}, 0)
        if algo == "sac":
            stock.rl_module(
                rl_module_spec=RLModuleSpec(
                    module_class=DefaultSACTorchRLModule, catalog_class=ObsActionCatalog
                )
            )
        own = getattr(algorithms, algo.upper()).get_default_config()
        own.update_from_dict({**settings, "env": env, "seed": 0})
        self.ours, self.stock = self._learner(own), self._learner(stock)
        weights = self.stock.module[DEFAULT_MODULE_ID].state_dict()
        self.ours.net.load_state_dict(weights, strict=False)
        for layer in self.ours.net.modules():
            if isinstance(layer, NoisyLinear):  # the mean weights alone, which are RLlib's
                torch.nn.init.zeros_(layer.weight_sigma)
                torch.nn.init.zeros_(layer.bias_sigma)

    def _learner(self, config: Any) -> Any:
        config.learners(num_gpus_per_learner=GPUS).validate()
        learner = config.build_learner(
            spaces={DEFAULT_MODULE_ID: (self.observations, self.actions)}
        )
        learner.after_gradient_based_update(timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 400})
        return learner

    def batch(self, algo: str) -> dict[str, torch.Tensor]:
        """Random transitions, some terminated, with weights and sums of one to three rewards."""
        with self.ours.device:
            return self._transitions(algo)

    def _transitions(self, algo: str) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(0)
        torch.manual_seed(0)

        def obs() -> torch.Tensor:
            return torch.randn(ROWS, *self.observations.shape)

        batch = {"obs": obs(), "actions": torch.as_tensor(self._actions(rng))}
        if algo == "ppo":
            net = self.stock.module[DEFAULT_MODULE_ID]
            inputs = net.forward_exploration(batch)["action_dist_inputs"]
            inputs = inputs + 0.3 * torch.randn_like(inputs)  # of an older policy
            older = net.get_exploration_action_dist_cls().from_logits(inputs)
            return batch | {
                "action_dist_inputs": inputs,
                "action_logp": older.logp(batch["actions"]),
                "advantages": torch.randn(ROWS),
                "value_targets": torch.randn(ROWS),
            }
        return batch | {
            "new_obs": obs(),
            "rewards": torch.randn(ROWS),
            "terminateds": torch.as_tensor(rng.random(ROWS) < 0.2),
            "weights": torch.as_tensor(rng.random(ROWS), dtype=torch.float32),
            "n_step": torch.as_tensor(rng.integers(1, 4, ROWS), dtype=torch.float32),
        }

    def _actions(self, rng: np.random.Generator) -> np.ndarray:
        if hasattr(self.actions, "n"):
            return rng.integers(self.actions.n, size=ROWS)
        return rng.uniform(-1, 1, (ROWS, *self.actions.shape)).astype(np.float32)


def _stock_update(learner: Any, batch: dict[str, torch.Tensor]) -> tuple[float, dict[str, Any]]:
    """RLlib's own update, step by step: its loss and its gradients before clipping."""
    whole = {DEFAULT_MODULE_ID: batch}
    losses = learner.compute_losses(fwd_out=learner.module.forward_train(whole), batch=whole)
    gradients = learner.compute_gradients(losses)
    kept = {name: g.clone() for name, g in gradients.items() if g is not None}
    learner.apply_gradients(learner.postprocess_gradients(gradients))
    return float(losses[DEFAULT_MODULE_ID].detach()), kept


def _squares(self: torch.nn.HuberLoss, reduction: str, delta: float) -> None:
    super(torch.nn.HuberLoss, self).__init__(reduction=reduction)
    self.delta = 1e6 * delta


def _close(got: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-5) -> None:
    error = (got - wanted).norm() / wanted.norm().clamp_min(1e-12)
    assert error <= tolerance, f"relative error {error:.1e}"


@pytest.mark.parametrize("case", CASES)
def test_loss_gradients_and_update_are_rllibs(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    algo, env, changes = CASES[case]
    pair = Pair(algo, env, changes)
    batch = pair.batch(algo)
    named = dict(pair.stock.module[DEFAULT_MODULE_ID].named_parameters())
    own = dict(pair.ours.net.named_parameters())
    torch.manual_seed(7)  # of the actions that SAC draws
    with monkeypatch.context() as patch:
        if case.startswith("sac-mse"):  # RLlib has the Huber loss alone: that with no straight part
            patch.setattr(torch.nn.HuberLoss, "__init__", _squares)
        wanted_loss, gradients = _stock_update(pair.stock, dict(batch))
    torch.manual_seed(7)
    loss = pair.ours.loss(dict(batch))
    assert float(loss.detach()) == pytest.approx(wanted_loss, rel=1e-5)

    torch.manual_seed(7)
    unclipped: dict[str, torch.Tensor] = {}
    clip = pair.ours._clip
    pair.ours._clip = lambda params: (
        unclipped.update({n: p.grad.clone() for n, p in own.items() if p.grad is not None}),
        clip(params),
    )[-1]
    pair.ours.gradient_step(dict(batch))
    compared = 0
    for name, param in named.items():
        gradient = gradients.get(pair.stock.get_param_ref(param))
        if gradient is None or name not in unclipped:
            continue
        _close(unclipped[name], gradient)
        _close(own[name].detach(), param.detach())
        compared += 1
    trained = [name for name, param in own.items() if param.requires_grad and "sigma" not in name]
    assert compared == len(trained), "every trained weight was compared"


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("dqn")])
def test_linear_layers_alone_need_no_autograd(case: str) -> None:
    others = ("dqn-swish", "dqn-distributional", "dqn-rainbow", "dqn-noisy")
    direct = Pair(*CASES[case]).ours._direct
    assert (direct is None) == (case in others or bool(GPUS))


def test_rllibs_own_engine_has_no_squared_errors_for_sac() -> None:
    stock = {"env": "pendulum", "evaluation_interval": 1_000, "td_error_loss_fn": "mse"}
    asked = algorithms.SAC.get_default_config().update_from_dict(stock)
    with pytest.raises(ValueError, match=r"^td_error_loss_fn: .* does not do evaluation_interval"):
        asked.validate()


def test_the_temperature_of_sac_is_trained_as_in_rllib() -> None:
    pair = Pair("sac", "pendulum", {})
    batch = pair.batch("sac")
    torch.manual_seed(7)
    _stock_update(pair.stock, dict(batch))
    torch.manual_seed(7)
    pair.ours.gradient_step(dict(batch))
    ours, wanted = (
        learner.curr_log_alpha[DEFAULT_MODULE_ID].detach() for learner in (pair.ours, pair.stock)
    )
    assert float(wanted) != 0.0
    _close(ours, wanted)


def test_the_kl_coefficient_changes_as_in_rllib() -> None:
    pair = Pair("ppo", "cartpole", {"use_kl_loss": True, "kl_coeff": 0.7, "kl_target": 1e-4})
    batch = pair.batch("ppo")
    _stock_update(pair.stock, dict(batch))
    pair.ours.gradient_step(dict(batch))
    for learner in (pair.ours, pair.stock):
        learner.after_gradient_based_update(timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 800})
    ours, wanted = (
        float(learner.curr_kl_coeffs_per_module[DEFAULT_MODULE_ID])
        for learner in (pair.ours, pair.stock)
    )
    assert ours == pytest.approx(wanted)
    assert wanted == pytest.approx(0.7 * 1.5)


# Adam's first step has the same size whatever the scale of a gradient, unless that is as small as
# its epsilon: values are clipped to that.
@pytest.mark.parametrize(("by", "limit"), [("global_norm", 0.01), ("norm", 0.01), ("value", 1e-8)])
def test_gradients_are_clipped_as_in_rllib(by: str, limit: float) -> None:
    pair = Pair("ppo", "cartpole", {"grad_clip": limit, "grad_clip_by": by})
    batch = pair.batch("ppo")
    _stock_update(pair.stock, dict(batch))
    pair.ours.gradient_step(dict(batch))
    wanted = dict(pair.stock.module[DEFAULT_MODULE_ID].named_parameters())
    for name, param in pair.ours.net.named_parameters():
        _close(param.detach(), wanted[name].detach())
