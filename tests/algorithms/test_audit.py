"""After every exploit and restore the settings are read back from where they act."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from quick import config, exploit, make, weights
from ray.rllib.core import DEFAULT_MODULE_ID

from rltune.algorithms.audit import Reading, mismatches, requested_settings
from rltune.algorithms.learner import ArrayLearnerMixin
from rltune.algorithms.ppo import learner as ppo_learner
from rltune.catalog.algorithms import ALGORITHMS
from rltune.errors import AuditError
from rltune.runs.json_text import dumps

pytestmark = pytest.mark.usefixtures("ray_session")

_COMMON = {
    "gamma": 0.91,
    "grad_clip": 0.25,
    "metrics_num_episodes_for_smoothing": 7,
    "min_sample_timesteps_per_iteration": 300,
}
_REPLAY = {
    "train_batch_size": 32,
    "save_buffer": False,
    "num_steps_sampled_before_learning_starts": 130,
    "rollout_fragment_length": 3,
    "training_intensity": 5.0,
    "n_step": 3,
    "prioritized_replay_alpha": 0.45,
    "prioritized_replay_beta": 0.55,
    "tau": 0.125,
    "target_network_update_freq": 77,
    "td_error_loss_fn": "mse",
}
#: A value of every setting that a population may mutate, and other than in the donor.
MUTATIONS: dict[str, dict[str, Any]] = {
    "ppo": {
        **_COMMON,
        "train_batch_size": 320,
        "lr": 7e-4,
        "lambda_": 0.7,
        "clip_param": 0.11,
        "entropy_coeff": 0.013,
        "vf_loss_coeff": 0.7,
        "vf_clip_param": 9.0,
        "num_epochs": 3,
        "minibatch_size": 80,
        "use_kl_loss": True,
        "kl_target": 0.02,
        "noise_correlation": 0.55,
    },
    "dqn": {
        **_COMMON,
        **_REPLAY,
        "lr": 7e-4,
        "initial_epsilon": 0.9,
        "final_epsilon": 0.2,
        "epsilon_timesteps": 7_000,
    },
    "sac": {
        **_COMMON,
        **_REPLAY,
        "actor_lr": 7e-4,
        "critic_lr": 6e-4,
        "alpha_lr": 5e-4,
        "noise_correlation": 0.55,
    },
}
STRUCTURE: dict[str, dict[str, Any]] = {
    "ppo": {},
    "dqn": {"prioritized_replay": True},
    "sac": {"prioritized_replay": True},
}


def _donor(algo: str, folder: Path, **changes: Any) -> Any:
    donor = make(algo, trial="t02", **STRUCTURE[algo], **changes)
    donor.train()
    donor.save(str(folder))
    return donor


def _exploit(clone: Any, donor: Any, folder: Path, **changes: Any) -> None:
    """What Tune does with an actor that is reused: a reset, then a restore."""
    changes = {**STRUCTURE[clone.name], "exploit": exploit(donor, 1_234), **changes}
    assert clone.reset(config(clone.name, trial="t01", seed=9, **changes))
    clone.restore(str(folder))


def _hash(member: Any) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(weights(member).items()):
        digest.update(name.encode() + weight.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_round_of_exploits_over_every_mutable_setting(algo: str, tmp_path: Path) -> None:
    wanted = MUTATIONS[algo]
    mutable = {name for name, s in ALGORITHMS[algo].settings.items() if not s.structural}
    assert set(wanted) == mutable
    here = {"env": "cartpole" if algo == "dqn" else "pendulum"}  # where noise can be correlated
    donor = _donor(algo, tmp_path, **here)
    before = donor.effective_settings()
    assert all(before[name] != value for name, value in wanted.items())
    clone = make(algo, trial="t01", seed=9)
    clone.train()
    _exploit(clone, donor, tmp_path, **here, **wanted)
    result = clone.train()
    restored = json.loads(dumps(result["restored"]))
    assert (restored["kind"], restored["donor"], restored["env_steps"]) == ("exploit", "t02", 1_234)
    for read in (restored["requested"], restored["effective"], result["settings"]):
        assert {name: read[name] for name in wanted} == pytest.approx(wanted)
    assert set(ALGORITHMS[algo].settings) == set(restored["requested"])
    assert "restored" not in clone.train(), "told once"
    # And one setting at a time.
    for name, value in wanted.items():
        if name not in ("minibatch_size", "train_batch_size", "n_step"):
            _exploit(clone, donor, tmp_path, **here, **{name: value})
            assert clone.effective_settings()[name] == pytest.approx(value)
    donor.cleanup()
    clone.cleanup()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_restore_is_audited(algo: str, tmp_path: Path) -> None:
    member = make(algo, trial="t01")
    member.train()
    steps = member.env_steps
    member.save(str(tmp_path))
    # The config of a trial that was a clone once still holds its last exploit.
    stale = {"donor": "t02", "env_steps": 7, "own_checkpoint": None}
    member.reset(config(algo, trial="t01", exploit=stale))
    member.restore(str(tmp_path))
    assert member.env_steps == steps
    restored = member.train()["restored"]
    assert (restored["kind"], restored["donor"], restored["env_steps"]) == ("restore", None, steps)
    assert restored["requested"]["gamma"] == restored["effective"]["gamma"]
    member.cleanup()


# Taken out, the audit raises ---------------------------------------------------------------------


def test_a_missing_learning_rate_clock_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints hold no rate: the donor's cannot act in a clone, its schedule's start could."""
    donor, clone = _donor("dqn", tmp_path, lr=1e-2), make("dqn", trial="t01")
    falling = [[0, 1e-3], [2_468, 0.0]]
    _exploit(clone, donor, tmp_path, lr=falling)
    assert clone.effective_settings()["lr"] == pytest.approx(5e-4)
    monkeypatch.setattr(ArrayLearnerMixin, "set_clock", lambda *_: None)
    with pytest.raises(
        AuditError,
        match=r"^t01: the optimiser's lr acts at .*0\.001.*, asked for \[\[0, 0\.001\], .*"
        r"\(after the exploit of t02 at env step 1234\)$",
    ):
        _exploit(clone, donor, tmp_path, lr=falling)
    donor.cleanup()
    clone.cleanup()


def test_a_missing_entropy_clock_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    donor, clone = _donor("ppo", tmp_path), make("ppo", trial="t01")
    falling = {"entropy_coeff": [[0, 0.1], [2_468, 0.0]], "lr": [[0, 1e-3], [4_936, 0.0]]}
    _exploit(clone, donor, tmp_path, **falling)
    settings = clone.effective_settings()
    assert settings["entropy_coeff"] == pytest.approx(0.05)
    assert settings["lr"] == pytest.approx(7.5e-4)
    monkeypatch.setattr(ppo_learner.PPOLearner, "set_clock", ArrayLearnerMixin.set_clock)
    with pytest.raises(AuditError, match=r"^t01: the schedule's entropy_coeff acts at 0\.1, asked"):
        _exploit(clone, donor, tmp_path, **falling)
    donor.cleanup()
    clone.cleanup()


@pytest.mark.parametrize(
    ("algo", "wanted"),
    [
        (
            "ppo",
            {
                "gamma": "loss",
                "lambda_": "loss",
                "clip_param": "loss",
                "entropy_coeff": "schedule",
                "lr": "optimiser",
                "metrics_num_episodes_for_smoothing": "window",
            },
        ),
        (
            "dqn",
            {
                "gamma": "loss",
                "n_step": "loss",
                "tau": "loss",
                "final_epsilon": "schedule",
                "epsilon_timesteps": "schedule",
                "prioritized_replay_beta": "replay buffer",
            },
        ),
        ("sac", {"gamma": "loss", "critic_lr": "optimiser", "alpha_lr": "optimiser"}),
    ],
)
def test_a_missing_rebuild_is_detected(
    algo: str, wanted: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reset that changes the config alone, which is what most people would write."""
    donor = _donor(algo, tmp_path)
    clone = make(algo, trial="t01", **STRUCTURE[algo])

    def shallow(self: Any, new_config: dict[str, Any]) -> bool:
        self._requested, self.config = (
            requested_settings(algo, new_config),
            self._config_from(new_config),
        )
        return True

    monkeypatch.setattr(type(clone), "reset_config", shallow)
    with pytest.raises(AuditError) as raised:
        _exploit(clone, donor, tmp_path, **{name: MUTATIONS[algo][name] for name in wanted})
    for name, place in wanted.items():
        assert f"the {place}'s {name} acts at " in str(raised.value)
    donor.cleanup()
    clone.cleanup()


@pytest.mark.parametrize(
    ("name", "value", "other", "place"),
    [
        ("num_envs_per_env_runner", 3, 1, "environment"),
        ("frame_stack", 2, 1, "environment"),
        ("buffer_capacity", 7_777, 8_888, "replay buffer"),
        ("double_q", True, False, "network"),
        ("dueling", True, False, "network"),
        ("noisy", True, False, "network"),
        ("num_atoms", 5, 1, "network"),
        ("fcnet_hiddens", [8, 8], [8], "network"),
        ("fcnet_activation", "tanh", "relu", "network"),
    ],
)
def test_structure_is_read_from_what_was_built(
    name: str, value: Any, other: Any, place: str
) -> None:
    member = make("dqn", **{name: value})
    assert member.effective_settings()[name] == value
    assert not mismatches("dqn", {name: value}, member.readings(), 0)
    member.reset(config("dqn", **{name: other}))
    wrong = mismatches("dqn", {name: value}, member.readings(), 0)
    assert f"the {place}'s {name} acts at {other!r}, asked for {value!r}" in wrong
    member.cleanup()


def test_incomparable_settings_are_not_audited() -> None:
    readings = [Reading("n_step", "loss", 1), Reading("rollout_fragment_length", "sampler", 4)]
    assert not mismatches("dqn", {"n_step": (1, 3)}, readings, 0)
    assert not mismatches("dqn", {"rollout_fragment_length": "auto"}, readings, 0)
    assert mismatches("dqn", {"n_step": 2}, readings, 0)
    # True is no number, and a number that is nearly right is wrong.
    assert mismatches("dqn", {"noisy": True}, [Reading("noisy", "network", False)], 0)
    assert mismatches("dqn", {"gamma": 0.99}, [Reading("gamma", "loss", 0.990002)], 0)
    assert not mismatches("dqn", {"gamma": 0.99}, [Reading("gamma", "loss", 0.9900002)], 0)
    inf = float("inf")
    assert not mismatches("dqn", {"grad_clip": inf}, [Reading("grad_clip", "loss", inf)], 0)


# In the running update ---------------------------------------------------------------------------


class Updates:
    """Looks on while a member trains: the rate each Adam step was taken at, and every loss."""

    def __init__(self, member: Any) -> None:
        self.rates: dict[str, list[float]] = {}
        self.losses: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], float]] = []
        self._learner = member.learner
        for name, optimizer in self._learner.optimizers_by_setting().items():
            self.rates[name] = []
            optimizer.register_step_pre_hook(self._before)
            optimizer.register_step_post_hook(lambda o, *_, name=name: self._after(o, name))
        self._loss = self._learner.compute_loss_for_module
        self._learner.compute_loss_for_module = self._look

    def _before(self, optimizer: Any, *_: Any) -> None:
        (group,) = optimizer.param_groups
        self._old = [param.detach().clone() for param in group["params"]]

    def _after(self, optimizer: Any, name: str) -> None:
        """The rate, solved from how far the weights went and Adam's averages."""
        (group,) = optimizer.param_groups
        went, ways = [], []
        for param, old in zip(group["params"], self._old, strict=True):
            state = optimizer.state[param]
            first, second = (1 - beta ** state["step"] for beta in group["betas"])
            root = (state["exp_avg_sq"] / second).sqrt() + group["eps"]
            ways.append((state["exp_avg"] / first / root).double().flatten())
            went.append((old - param.detach()).double().flatten())
        way, gone = torch.cat(ways), torch.cat(went)
        self.rates[name].append(float(way @ gone / (way @ way)))

    def _look(self, *, batch: Any, fwd_out: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = self._loss(batch=batch, fwd_out=fwd_out, **kwargs)
        kept = {name: c.detach().clone() for name, c in fwd_out.items() if torch.is_tensor(c)}
        self.losses.append((dict(batch), kept, loss.item()))
        return loss


def _ppo_loss(batch: Any, out: Any, value: torch.Tensor, settings: dict[str, Any]) -> float:
    """Equation 9 of Schulman et al. 2017, written out."""
    logits = out["action_dist_inputs"].log_softmax(-1)
    logp = logits.gather(-1, batch["actions"].long().unsqueeze(-1)).squeeze(-1)
    ratio = (logp - batch["action_logp"]).exp()
    clip = settings["clip_param"]
    assert ((ratio - 1).abs() > clip).any(), "the clip acts"
    advantages = batch["advantages"]
    surrogate = torch.minimum(advantages * ratio, advantages * ratio.clamp(1 - clip, 1 + clip))
    entropy = -(logits.exp() * logits).sum(-1)
    error = (value - batch["value_targets"]).square().clamp(max=settings["vf_clip_param"])
    total = settings["vf_loss_coeff"] * error - surrogate - settings["entropy_coeff"] * entropy
    return float(total.mean())


@pytest.mark.fault(31)
def test_ppo_runs_at_the_logged_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    donor, clone = _donor("ppo", tmp_path), make("ppo", trial="t01", seed=9)
    clone.train()
    wanted = {
        "lr": 4e-3,
        "gamma": 0.93,
        "lambda_": 0.8,
        "clip_param": 0.02,
        "entropy_coeff": 0.3,
        "vf_loss_coeff": 0.2,
        "vf_clip_param": 1e6,
        "num_epochs": 4,
    }
    _exploit(clone, donor, tmp_path, **wanted)
    assert _hash(clone) == _hash(donor)
    updates = Updates(clone)
    discounts: set[tuple[float, float]] = set()
    gae = ppo_learner.gae

    def look(*args: Any) -> Any:
        discounts.add(args[-2:])
        return gae(*args)

    monkeypatch.setattr(ppo_learner, "gae", look)
    values: list[torch.Tensor] = []
    compute_values = clone.learner.net.compute_values

    def look_at_values(*args: Any, **kwargs: Any) -> torch.Tensor:
        out: torch.Tensor = compute_values(*args, **kwargs)
        values.append(out.detach().clone())
        return out

    monkeypatch.setattr(clone.learner.net, "compute_values", look_at_values)
    result = clone.train()
    log = result["restored"]["effective"]
    assert {name: log[name] for name in wanted} == pytest.approx(wanted)
    assert updates.rates["lr"] == pytest.approx([log["lr"]] * len(updates.rates["lr"]), rel=1e-3)
    assert discounts == {(log["gamma"], log["lambda_"])}
    batch, out, loss = updates.losses[-1]
    assert loss == pytest.approx(_ppo_loss(batch, out, values[-1], log), rel=1e-4)
    donor.cleanup()
    clone.cleanup()


@pytest.mark.fault(31)
def test_dqn_runs_at_the_logged_settings(tmp_path: Path) -> None:
    structure = {"double_q": False, "prioritized_replay": False}
    donor, clone = _donor_of(structure, tmp_path), make("dqn", trial="t01", seed=9)
    clone.train()
    wanted = {"lr": 4e-3, "gamma": 0.93, "n_step": 3, "td_error_loss_fn": "mse", "grad_clip": 0.1}
    _exploit(clone, donor, tmp_path, **structure, exploit_buffer="donor", **wanted)
    assert _hash(clone) == _hash(donor)
    updates = Updates(clone)
    norms: list[float] = []
    for optimizer in clone.learner.optimizers_by_setting().values():
        optimizer.register_step_pre_hook(
            lambda o, *_: norms.append(_norm(o.param_groups[0]["params"]))
        )
    log = clone.train()["restored"]["effective"]
    assert {name: log[name] for name in wanted} == pytest.approx(wanted)
    assert updates.rates["lr"] == pytest.approx([log["lr"]] * len(updates.rates["lr"]), rel=1e-3)
    assert max(norms) == pytest.approx(log["grad_clip"], rel=1e-3)
    batch, out, loss = updates.losses[-1]
    q_taken = out["qf_preds"].gather(-1, batch["actions"].unsqueeze(-1)).squeeze(-1)
    following = out["qf_target_next_preds"].amax(-1) * ~batch["terminateds"]
    target = batch["rewards"] + log["gamma"] ** batch["n_step"] * following
    assert batch["n_step"].max() == log["n_step"]
    expected = (batch["weights"] * (q_taken - target).square()).mean()
    assert loss == pytest.approx(float(expected), rel=1e-4)
    donor.cleanup()
    clone.cleanup()


def _donor_of(structure: dict[str, Any], folder: Path) -> Any:
    donor = make("dqn", trial="t02", **structure)
    donor.train()
    donor.save(str(folder))
    return donor


def _norm(params: list[torch.Tensor]) -> float:
    return float(torch.cat([p.grad.flatten() for p in params if p.grad is not None]).norm())


@pytest.mark.fault(31)
def test_sac_runs_at_the_logged_settings(tmp_path: Path) -> None:
    donor, clone = _donor("sac", tmp_path), make("sac", trial="t01", seed=9)
    wanted = {"actor_lr": 2e-3, "critic_lr": 3e-3, "alpha_lr": 4e-3}
    _exploit(clone, donor, tmp_path, exploit_buffer="donor", **wanted)
    assert _hash(clone) == _hash(donor)
    temperature = donor.learner.curr_log_alpha[DEFAULT_MODULE_ID]
    assert torch.equal(clone.learner.curr_log_alpha[DEFAULT_MODULE_ID], temperature)
    updates = Updates(clone)
    log = clone.train()["restored"]["effective"]
    for name, rate in wanted.items():
        assert log[name] == pytest.approx(rate)
        assert updates.rates[name], name
        assert updates.rates[name] == pytest.approx([rate] * len(updates.rates[name]), rel=1e-3)
    donor.cleanup()
    clone.cleanup()
