"""DQN's updates without autograd, where its networks are linear layers alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.models.torch.encoder import TorchMLPEncoder
from ray.rllib.core.models.torch.heads import TorchMLPHead
from torch import nn
from torch.nn import functional

from rltune.algorithms.dqn.module import DQNModule
from rltune.engine.mlp import Gradients, Layer, Mlp, layers_of
from rltune.engine.normalisation import as_input


class QNet:
    """RLlib's network of linear layers, with one head or, where it is dueling, with two.

    Args:
        trunk: layers that all outputs share.
        advantage, value: the heads of a dueling network.
    """

    def __init__(self, trunk: Mlp, advantage: Mlp | None = None, value: Mlp | None = None) -> None:
        self._parts = [part for part in (trunk, advantage, value) if part is not None]

    @classmethod
    def of(cls, net: Any, prefix: str = "") -> QNet | None:
        """Of RLlib's module; None where it is not RLlib's own, or not of linear layers alone.

        Args:
            prefix: of the names of its parts: "_target_" for the target network.
        """
        if type(net) is not DQNModule or net.num_atoms > 1:
            return None
        heads = ("af", "vf") if net.uses_dueling else ("af",)
        parts = [_layers(getattr(net, prefix + name)) for name in ("encoder", *heads)]
        found = [Mlp(part) for part in parts if part]
        if len(found) < len(parts) or not found[0].layers[0].weight.is_cpu:
            return None
        return cls(*found) if net.uses_dueling else cls(Mlp(found[0].layers + found[1].layers))

    @property
    def layers(self) -> list[Layer]:
        """All of them."""
        return [layer for part in self._parts for layer in part.layers]

    def outputs(self, obs: torch.Tensor) -> list[list[torch.Tensor]]:
        """What each part puts out, see :meth:`Mlp.outputs`."""
        trunk, *heads = self._parts
        shared = trunk.outputs(obs)
        return [shared, *(head.outputs(shared[-1]) for head in heads)]

    @staticmethod
    def values(outputs: list[list[torch.Tensor]]) -> torch.Tensor:
        """Q values (N, actions) of outputs."""
        last = [part[-1] for part in outputs]
        if len(last) == 1:
            return last[0]
        _, advantages, value = last
        return advantages - advantages.mean(-1, keepdim=True) + value

    def __call__(self, obs: torch.Tensor) -> torch.Tensor:
        """Q values (N, actions) of observations (N, ...)."""
        return self.values(self.outputs(obs))

    def backward(
        self,
        gradient: torch.Tensor,
        outputs: list[list[torch.Tensor]],
        into: Sequence[Gradients],
    ) -> None:
        """Writes the gradients of all layers, from that of the Q values (N, actions)."""
        trunk, *heads = self._parts
        shared, *others = outputs
        own = len(trunk.layers)
        if heads:
            centred = gradient - gradient.mean(-1, keepdim=True)
            gradients = [centred, gradient.sum(-1, keepdim=True)]
            places, passed = into[own:], []
            for head, part, each in zip(heads, others, gradients, strict=True):
                passed.append(head.backward(each, part, places, first=False))
                places = places[len(head.layers) :]
            gradient = passed[0].add_(passed[1])
        trunk.backward(gradient, shared, into[:own])


class DirectQ:
    """RLlib's loss of DQN and its gradients, on a CPU.

    Args:
        net: RLlib's module.
        main, target: its networks.
        params: the trained weights, two a layer of ``main``.
    """

    def __init__(
        self, net: DQNModule, main: QNet, target: QNet, params: Sequence[nn.Parameter]
    ) -> None:
        self._net, self._main, self._target = net, main, target
        self._params = list(params)
        self._places = [torch.zeros_like(param) for param in params]
        pairs = zip(self._places[::2], self._places[1::2], strict=True)
        self._into = [Gradients(weight, bias) for weight, bias in pairs]

    @classmethod
    def of(cls, net: Any) -> DirectQ | None:
        """For a module; None where there is no :class:`QNet` of it."""
        main, target = QNet.of(net), QNet.of(net, "_target_")
        if main is None or target is None:
            return None
        by_place = {param.data_ptr(): param for param in net.parameters()}
        params = [by_place[w.data_ptr()] for each in main.layers for w in (each.weight, each.bias)]
        return cls(net, main, target, params)

    @torch.no_grad()
    def gradients(
        self, config: Any, batch: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Leaves the gradient of RLlib's loss in the parameters.

        Returns:
            the loss, and the chosen Q values and absolute TD errors, of shape (N,).
        """
        net, actions = self._net, batch[Columns.ACTIONS].unsqueeze(-1)
        outputs = self._main.outputs(as_input(net, batch[Columns.OBS]))
        values = self._main.values(outputs)
        chosen = values.gather(-1, actions).squeeze(-1)
        wanted = self._wanted(config, batch)
        errors = chosen - wanted
        squared, weights = config.td_error_loss_fn != "huber", batch["weights"]
        losses = (functional.mse_loss if squared else functional.huber_loss)(
            chosen, wanted, reduction="none"
        )
        slopes = errors * 2 if squared else errors.clamp(-1.0, 1.0)
        slopes.mul_(weights).div_(len(errors))
        gradient = torch.zeros_like(values).scatter_(-1, actions, slopes.unsqueeze(-1))
        self._main.backward(gradient, outputs, self._into)
        for param, place in zip(self._params, self._places, strict=True):
            param.grad = place
        return losses.mul_(weights).mean(), chosen, errors.abs_()

    def _wanted(self, config: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """What the chosen Q values are drawn to, shape (N,)."""
        net, following = self._net, {Columns.OBS: batch[Columns.NEXT_OBS]}
        obs = as_input(net, following[Columns.OBS])
        rated = net.allow(following, self._target(obs))
        choosing = net.allow(following, self._main(obs)) if config.double_q else rated
        best = rated.gather(-1, choosing.argmax(-1, keepdim=True)).squeeze(-1)
        discounts = config.gamma ** batch["n_step"] * ~batch[Columns.TERMINATEDS]
        return torch.addcmul(batch[Columns.REWARDS], discounts, best)


def _layers(part: Any) -> list[Layer] | None:
    head = type(part) is TorchMLPHead and not part.clip_log_std
    return layers_of(part.net.mlp) if head or type(part) is TorchMLPEncoder else None
