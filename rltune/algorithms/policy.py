"""A trained policy, loaded without starting Ray and without unpickling anything."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchSquashedGaussian
from ray.rllib.core.rl_module.apis import QNetAPI
from torch import nn

from rltune import algorithms, envs
from rltune.algorithms import tensors
from rltune.catalog.algorithms import algorithm
from rltune.engine.codec import ActionCodec, action_codec
from rltune.engine.decoder import Decoder
from rltune.engine.normalisation import as_input
from rltune.engine.torch_settings import TorchSettingsGuard
from rltune.errors import BadCheckpoint, BadInput
from rltune.runs.checkpoints import POLICY_FILE, RECORD_FILE, verify
from rltune.runs.folder import RunFolder
from rltune.spec import RunSpec


class Policy:
    """A network that acts greedily.

    Attributes:
        net: RLlib's RLModule.
        codec: between its actions and the environment's.
        frame_stack: observations joined to the one it acts on.
        form: how it reads observations, see :class:`rltune.engine.codec.ObservationCodec`.
    """

    def __init__(
        self, net: Any, codec: ActionCodec, frame_stack: int = 1, form: str = "auto"
    ) -> None:
        self.net = net
        self.codec = codec
        self.frame_stack = frame_stack
        self.form = form

    @torch.no_grad()
    def act(self, obs: np.ndarray) -> np.ndarray:
        """The likeliest actions for observations (N, ...), as :func:`rltune.envs.make` has both."""
        return greedy_actions(self.net, torch.from_numpy(obs)).numpy()

    @torch.no_grad()
    def ratings(self, obs: np.ndarray) -> np.ndarray:
        """Of every numbered action, (N, choices): Q values or logits, of which act() takes the
        largest. Those of illegal actions are out of reach."""
        batch = {Columns.OBS: as_input(self.net, torch.from_numpy(obs))}
        if isinstance(self.net, QNetAPI):
            rated: torch.Tensor = self.net.legal_q_values(batch)
        else:
            rated = self.net.forward_inference(batch)[Columns.ACTION_DIST_INPUTS]
        return rated.numpy()

    def module(self) -> Greedy:
        """The same as one torch module, to be taken elsewhere."""
        return Greedy(self.net, self.codec).eval()


class Greedy(nn.Module):
    """Observations (N, ...), as a policy reads them, to the environment's actions."""

    def __init__(self, net: Any, codec: ActionCodec) -> None:
        super().__init__()
        self.net = net
        self.decoder = Decoder(codec)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """float32 or, of bytes, uint8 to actions in the environment's space."""
        actions: torch.Tensor = self.decoder(greedy_actions(self.net, obs))
        return actions


def greedy_actions(net: Any, obs: torch.Tensor) -> torch.Tensor:
    """What an RLModule would do with observations (N, ...), without exploring."""
    out = net.forward_inference({Columns.OBS: as_input(net, obs)})
    if Columns.ACTIONS in out:
        chosen: torch.Tensor = out[Columns.ACTIONS]
        return chosen
    distribution = net.get_inference_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
    actions: torch.Tensor = distribution.to_deterministic().loc
    if isinstance(distribution, TorchSquashedGaussian):
        actions = actions.tanh()  # RLlib 2.60 returns the mean from before the squash
    return actions


def load_policy(spec: RunSpec, folder: RunFolder, checkpoint: Path) -> Policy:
    """The policy of a checkpoint of a run, which may be anybody's: all of it is checked.

    Raises:
        BadCheckpoint: its weights are missing or damaged, or another algorithm's or network's.
        BadInput: a setting in its record is none, or out of range.
    """
    verify(checkpoint, spec.algo, only=(POLICY_FILE,))
    settings = _settings(spec, folder, checkpoint)
    frame_stack = settings.get("frame_stack", 1)
    form = settings.get("observation_form", "auto")
    with TorchSettingsGuard(nullcontext()):
        env = envs.make(spec.env_id, spec.env_options.env_args, frame_stack, form)
    codec = action_codec(envs.authored_actions(env))
    trainable = getattr(algorithms, algorithm(spec.algo).class_name)
    config = trainable.get_default_config().update_from_dict(settings)
    config.validate()
    spaces = {"default_policy": (env.observation_space, env.action_space)}
    module = config.get_rl_module_spec(spaces=spaces, inference_only=True)
    envs.close(env)
    path = checkpoint / POLICY_FILE
    weights = tensors.read(path)
    if len(settings.get("fcnet_hiddens", ())) > len(weights):
        raise BadCheckpoint(f"{path} has fewer weights than its network has layers")
    with torch.device("meta"):  # takes no memory, however large the network is said to be
        shapes = {name: value.shape for name, value in module.build().state_dict().items()}
    tensors.check_shapes(path, weights, shapes)
    net = module.build()
    net.load_state_dict(weights, strict=False)  # a critic and target networks are left out
    if "observation_form" not in settings and not envs.known(spec.env_id):
        # Trained by a version that divided all bytes by 255, those that are no image too.
        net.divisor = 255.0 if env.observation_space.dtype == np.uint8 else 1.0
    net.eval()
    return Policy(net, codec, frame_stack, form)


def _settings(spec: RunSpec, folder: RunFolder, checkpoint: Path) -> dict[str, Any]:
    """The settings behind a checkpoint's weights. Raises BadInput for what is none."""
    settings = folder.record(checkpoint).settings
    if settings is None:
        raise BadInput(f"{checkpoint / RECORD_FILE} has no settings")
    settings = {name: value for name, value in settings.items() if value is not None}
    if problems := algorithm(spec.algo).problems(settings):
        place = checkpoint / RECORD_FILE
        raise BadInput([f"{place}: {name}: {problem}" for name, problem in problems.items()])
    return settings
