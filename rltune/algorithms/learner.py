"""Gradient steps without RLlib's cost per update; losses stay RLlib's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.utils.torch_utils import clip_gradients

from rltune.algorithms import tensors
from rltune.algorithms.audit import Reading
from rltune.algorithms.last_metrics import LastMetrics
from rltune.algorithms.learner_numbers import norm_name
from rltune.engine.divergence import Divergence
from rltune.engine.fused_adam import fast_step_of
from rltune.engine.normalisation import as_input, as_numbers, to_device
from rltune.engine.rollout import Rollout
from rltune.engine.update_watch import Watch
from rltune.errors import BadCheckpoint

#: What Adam, which all of RLlib's learners have, keeps of each weight.
_OF_ADAM = ("step", "exp_avg", "exp_avg_sq")
_NUMBERS = "weights"
_OBSERVATIONS = (Columns.OBS, Columns.NEXT_OBS)


class ArrayLearnerMixin:
    """Mixed into RLlib's torch learners of a single module.

    Attributes:
        watch: sees to it that no update on a number that is not finite is applied.
    """

    metrics: Any
    module: Any
    config: Any
    device: torch.device
    _named_optimizers: dict[str, torch.optim.Optimizer]
    _optimizer_lr_schedules: dict[torch.optim.Optimizer, Any]

    def build(self) -> None:
        """Builds network and optimisers, then mutes the metrics."""
        super().build()  # type: ignore[misc]
        self.metrics = LastMetrics()
        self._parts = [
            (optimizer, [p for group in optimizer.param_groups for p in group["params"]])
            for optimizer in self._named_optimizers.values()
        ]
        self._steps = [fast_step_of(optimizer) for optimizer, _ in self._parts]
        self._norm_names = [norm_name(optimizer) for optimizer in self._named_optimizers]
        self.watch = Watch(self.device, list(self._named_optimizers.values()))

    @property
    def net(self) -> Any:
        """The one module that is trained."""
        return self.module[DEFAULT_MODULE_ID]

    def register_optimizer(self, *, optimizer: torch.optim.Optimizer, **kwargs: Any) -> None:
        """RLlib's optimiser, its Adam fused into one kernel."""
        if type(optimizer) is torch.optim.Adam:
            for group in optimizer.param_groups:
                group["fused"] = True
        super().register_optimizer(optimizer=optimizer, **kwargs)  # type: ignore[misc]

    def gradient_step(self, batch: dict[str, torch.Tensor]) -> None:
        """One update on a batch of tensors under RLlib's column names.

        Raises:
            Divergence: loss or gradient is not finite; nothing was applied.
        """
        loss = self.gradients(batch)
        norms = [self._clip(params) for _, params in self._parts]
        self.watch.look(loss, norms)
        for step in self._steps:
            step()
        self.metrics.log_value((DEFAULT_MODULE_ID, "total_loss"), loss)
        for name, norm in zip(self._norm_names, norms, strict=True):
            self.metrics.log_value((DEFAULT_MODULE_ID, name), norm)

    def gradients(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Leaves the gradients of the loss on a batch in the parameters; returns the loss."""
        loss = self._checked_loss(batch)
        for _, params in self._parts:
            for param in params:
                param.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _checked_loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        try:
            return self.loss(batch)
        except (RuntimeError, ValueError) as error:
            # A distribution refuses inputs that are not finite.
            out = self.net._forward_inference({Columns.OBS: as_input(self.net, batch[Columns.OBS])})
            inputs = out.get(Columns.ACTION_DIST_INPUTS)
            if inputs is None or inputs.isfinite().all():
                raise
            raise Divergence("loss", math.nan) from error

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """RLlib's loss. Its gradient is, for each optimiser, the one RLlib computes."""
        batch = {
            name: as_input(self.net, column) if name in _OBSERVATIONS else column
            for name, column in batch.items()
        }
        # Not forward_train: that walks over every layer to set a mode which is set already.
        loss: torch.Tensor = self.compute_loss_for_module(  # type: ignore[attr-defined]
            module_id=DEFAULT_MODULE_ID,
            config=self.config,
            batch=batch,
            fwd_out=self.net._forward_train(batch),
        )
        return loss

    def update_filter(self, rollouts: list[Rollout]) -> None:
        """Takes the observations of rollouts into the filter, where the network has one."""
        if self.net.observation_filter is not None:
            seen = np.concatenate([rollout.obs[rollout.valid] for rollout in rollouts])
            self.net.observation_filter.update(as_numbers(self.net, to_device(seen, self.device)))

    def _clip(self, params: list[torch.Tensor]) -> torch.Tensor:
        """Clips gradients in place. Returns their global norm from before, a single number."""
        grads = [param.grad for param in params if param.grad is not None]
        norm = global_norm(grads)
        limit = self.config.grad_clip
        if limit is None or math.isinf(limit):
            return norm
        if self.config.grad_clip_by == "global_norm":
            if norm.is_cpu and norm.item() + 1e-6 <= limit:
                return norm  # the factor would be 1
            torch._foreach_mul_(grads, (limit / (norm + 1e-6)).clamp(max=1.0))
            return norm
        clipped = {i: param.grad for i, param in enumerate(params)}
        clip_gradients(clipped, grad_clip=limit, grad_clip_by=self.config.grad_clip_by)
        for i, param in enumerate(params):
            param.grad = clipped[i]  # RLlib puts new tensors into the dict
        return norm

    def readings(self) -> list[Reading]:
        """Settings as network, optimisers and schedules hold them, beside the losses' config."""
        filters = self.net.observation_filter is not None
        return [
            Reading("observation_filter", "network", "MeanStdFilter" if filters else "NoFilter"),
            *self._rates(),
        ]

    def _rates(self) -> list[Reading]:
        return [
            Reading(name, "optimiser", group["lr"])
            for name, optimizer in self.optimizers_by_setting().items()
            for group in optimizer.param_groups
        ]

    def optimizers_by_setting(self) -> dict[str, torch.optim.Optimizer]:
        """The optimisers, by the setting of their learning rate."""
        (optimizer,) = self._named_optimizers.values()
        return {"lr": optimizer}

    def scalars(self) -> dict[str, Any]:
        """Numbers of the last update, by module and RLlib's name."""
        return self.metrics.scalars()  # type: ignore[no-any-return]

    def extra_state(self) -> dict[str, torch.Tensor]:
        """Tensors that act in the loss and that RLlib leaves out of its checkpoints, by name."""
        return {}

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's, and what it forgets."""
        state: dict[str, Any] = super().get_state(*args, **kwargs)  # type: ignore[misc]
        kept = {name: value.detach().cpu().numpy() for name, value in self.extra_state().items()}
        return state | {"forgotten": kept}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores both; a checkpoint of stock RLlib has the first alone."""
        super().set_state(state)  # type: ignore[misc]
        self.watch.clear()
        for name, value in state.get("forgotten", {}).items():
            self.extra_state()[name].data.copy_(torch.as_tensor(value))

    def tensors(self) -> dict[str, dict[Any, Any]]:
        """What a trial continues from beside the network's weights, on the CPU.

        Every optimiser's state (its moments and steps; its settings are the config's) and what
        acts in the loss.
        """
        optimizers = {name: _packed(each) for name, each in self._named_optimizers.items()}
        forgotten = {name: value.detach().cpu() for name, value in self.extra_state().items()}
        return {"optimizers": optimizers, "forgotten": forgotten}

    def load_tensors(self, weights: Path, others: Path) -> None:
        """Continues from a file of weights and one of what :meth:`tensors` returned, bit for bit.

        Raises:
            BadCheckpoint: they are of another network or algorithm; nothing was loaded.
        """
        net, held = tensors.read(weights), tensors.read(others)
        tensors.check_shapes(weights, net, _shapes(self.net.state_dict()))
        optimizers = tensors.part(others, held, "optimizers", self._named_optimizers)
        states = {
            name: _unpacked(others, optimizer, tensors.part(others, optimizers, name, [_NUMBERS]))
            for name, optimizer in self._named_optimizers.items()
        }
        forgotten = tensors.part(others, held, "forgotten", self.extra_state())
        tensors.check_shapes(others, forgotten, _shapes(self.extra_state()))
        self.net.load_state_dict(net)
        for name, optimizer in self._named_optimizers.items():
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": states[name], "param_groups": groups})
        for name, value in self.extra_state().items():
            value.data.copy_(forgotten[name])
        self.watch.clear()

    def set_clock(self, env_steps: int) -> None:
        """Brings every schedule to a trial's environment steps, after a restore."""
        set_learning_rates(self, env_steps)


def set_learning_rates(learner: Any, env_steps: int) -> None:
    """Makes the optimisers of any RLlib learner run at their config's rates.

    A checkpoint holds its donor's learning rates: without this the first updates after an exploit
    would run at them.
    """
    for optimizer, schedule in learner._optimizer_lr_schedules.items():
        rate = float(schedule.update(timestep=env_steps))
        for group in optimizer.param_groups:
            group["lr"] = rate


def _shapes(named: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in named.items()}


def _packed(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An Adam's state in a few tensors, on the CPU: of many small ones reading takes long."""
    states = optimizer.state_dict()["state"]
    numbers = sorted(states)  # weights that have had no gradient yet have no state
    return {_NUMBERS: torch.tensor(numbers)} | {
        key: torch.cat([states[number][key].detach().reshape(-1) for number in numbers]).cpu()
        for key in (_OF_ADAM if numbers else ())
    }


def _unpacked(
    path: Path, optimizer: torch.optim.Optimizer, packed: dict[str, torch.Tensor]
) -> dict[int, dict[str, torch.Tensor]]:
    """The inverse of :func:`_packed`. Raises BadCheckpoint where it is of other weights."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    numbers: list[int] = packed[_NUMBERS].long().flatten().tolist()
    if not all(0 <= number < len(params) for number in numbers):
        raise BadCheckpoint(f"{path}: an optimizer has {len(params)} weights, not {numbers}")
    if not numbers:
        return {}
    moments = [params[number].shape for number in numbers]
    shapes = dict.fromkeys(_OF_ADAM, moments) | {"step": [torch.Size()] * len(numbers)}
    sizes = {key: [math.prod(shape) for shape in of] for key, of in shapes.items()}
    tensors.check_shapes(path, packed, {key: torch.Size([sum(of)]) for key, of in sizes.items()})
    split = {key: torch.split(packed[key], of) for key, of in sizes.items()}
    return {
        number: {key: split[key][i].view(shapes[key][i]).clone() for key in _OF_ADAM}
        for i, number in enumerate(numbers)
    }


def global_norm(grads: list[torch.Tensor]) -> torch.Tensor:
    """``torch.nn.utils.get_total_norm`` of gradients on one device, in half the time."""
    norm: torch.Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
    return norm
