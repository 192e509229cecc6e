"""Images: the network that reads them, in training, in checkpoints and in evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quick import make, same, weights
from ray.rllib.core.columns import Columns
from ray.rllib.core.models.base import ENCODER_OUT
from ray.rllib.core.models.torch.encoder import TorchCNNEncoder
from torch import nn

from rltune import algorithms
from rltune.algorithms.image_encoder import ImageEncoder, ImageEncoderConfig
from rltune.algorithms.policy import load_policy
from rltune.engine.average_pool import average_pool
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder

BRIEF: dict[str, Any] = {
    "num_steps_sampled_before_learning_starts": 32,
    "train_batch_size": 16,
    "min_sample_timesteps_per_iteration": 64,
}


def _encoder(shape: tuple[int, ...], actions: int = 0) -> ImageEncoder:
    return ImageEncoderConfig(input_dims=shape, hidden_layer_dims=(512,), actions=actions).build()


def test_it_is_the_network_of_mnih_et_al() -> None:
    encoder = _encoder((84, 84, 4))
    shapes = [tuple(p.shape) for p in encoder.parameters() if p.ndim > 1]
    assert shapes == [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3), (512, 3136)]
    assert sum(p.numel() for p in encoder.parameters()) == 1_684_128


@pytest.mark.parametrize(
    "shape", [(84, 84, 1), (36, 36, 3), (96, 96, 3), (210, 160, 3), (10, 10, 4)]
)
def test_it_accepts_any_size_without_growing(shape: tuple[int, ...]) -> None:
    encoder = _encoder(shape)
    out = encoder({Columns.OBS: torch.rand(5, *shape)})[ENCODER_OUT]
    assert out.shape == (5, 512)
    assert sum(p.numel() for p in encoder.parameters()) < 1_700_000


def test_pictures_are_averaged_alike_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """By products of matrices, as in an exported network: torch's own are repeatable on a CPU."""
    planes = torch.rand(2, 3, 4, 22, 16, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 3, 4, 7, 7, dtype=torch.float64)
    found = []
    for exported in (False, True):
        monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda exported=exported: exported)
        pooled = average_pool(planes, 7)
        (gradient,) = torch.autograd.grad((pooled * weights).sum(), planes)
        found.append((pooled, gradient))
    assert torch.allclose(found[0][0][1], nn.AdaptiveAvgPool2d(7)(planes[1]), atol=1e-12)
    for plain, product in zip(*found, strict=True):
        assert torch.allclose(plain, product, atol=1e-12)


def test_a_critic_reads_the_action_too() -> None:
    encoder, image = _encoder((84, 84, 1), actions=3), torch.rand(2, 84, 84, 1)
    low, high = (
        encoder({Columns.OBS: image, Columns.ACTIONS: torch.full((2, 3), a)})[ENCODER_OUT]
        for a in (-1.0, 1.0)
    )
    assert not torch.equal(low, high)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("algo", "env"),
    [("dqn", "pong"), pytest.param("sac", "carracing", marks=pytest.mark.slow)],
)
def test_a_checkpoint_evaluates_to_what_was_trained(algo: str, env: str, tmp_path: Path) -> None:
    member = make(algo, env=env, **BRIEF)
    member.train()
    (found,) = {type(m) for m in member.learner.net.modules() if isinstance(m, ImageEncoder)}
    assert found is ImageEncoder
    assert member.replay._columns["obs"].dtype == np.uint8
    checkpoint = tmp_path / "checkpoint"
    member.save(str(checkpoint))
    spec = make_spec(algo, env, storage=tmp_path, settings={"buffer_capacity": 5_000, **BRIEF})
    policy = load_policy(spec, RunFolder(tmp_path), checkpoint)
    assert policy.frame_stack == 4
    kept = policy.net.state_dict()
    assert same(kept, {name: weights(member)[name] for name in kept})
    space = member.learner.net.observation_space
    images = np.random.default_rng(0).integers(0, 256, (3, *space.shape), dtype=np.uint8)
    acted = policy.act(images)
    assert len(acted) == 3
    assert all(policy.codec.theirs.contains(action) for action in acted)
    member.cleanup()


@pytest.mark.usefixtures("ray_session")
def test_conv_filters_ask_for_rllibs_own_network() -> None:
    config = algorithms.DQN.get_default_config().update_from_dict({"env": "pong"})
    config.rl_module(model_config={"conv_filters": [[8, 8, 8], [8, 4, 4]]})
    config.env_runners(num_envs_per_env_runner=1)
    config.update_from_dict({"buffer_capacity": 1_000, **BRIEF})
    algo = config.build_algo()
    assert any(isinstance(module, TorchCNNEncoder) for module in algo.learner.net.modules())
    algo.train()
    algo.stop()
