"""Gradient steps without RLlib's cost per update; losses stay RLlib's own."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID


class LastMetrics:
    """Stands in for a learner's MetricsLogger: keeps the last value of each key.

    RLlib's logger reduces statistics at every update, which costs as much as the update. Values
    stay tensors until they are read, once an iteration.
    """

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}

    def log_value(self, key: Any, value: Any, **_: Any) -> None:
        """Keeps a value. The signature is RLlib's; how to reduce is ignored."""
        self._values[_path(key)] = value

    def log_dict(self, values: dict[str, Any], *, key: Any = None, **_: Any) -> None:
        """Keeps each value of a dict under its key."""
        prefix: tuple[Any, ...] = () if key is None else _path(key)
        for name, value in values.items():
            self.log_value((*prefix, *_path(name)), value)

    def __contains__(self, key: Any) -> bool:
        return key in self._values

    def peek(self, key: Any) -> Any:
        """The last value of a key."""
        return self._values[key]

    def scalars(self) -> dict[str, Any]:
        """Every single number among the last values, nested by their keys."""
        found: dict[str, Any] = {}
        for (*groups, name), value in self._values.items():
            if isinstance(value, torch.Tensor) and value.numel() != 1:
                continue
            place = found
            for group in groups:
                place = place.setdefault(group, {})
            place[name] = value.item() if isinstance(value, torch.Tensor) else float(value)
        return found

    def get_state(self) -> dict[str, Any]:
        """Empty: nothing here outlives an iteration."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Ignores RLlib's state, for the same reason."""


def _path(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


class ArrayLearner:
    """Mixed into RLlib's torch learners of a single module."""

    metrics: Any
    module: Any
    config: Any
    _named_optimizers: dict[str, torch.optim.Optimizer]
    _optimizer_lr_schedules: dict[torch.optim.Optimizer, Any]

    def build(self) -> None:
        """Builds network and optimiser, then mutes the metrics."""
        super().build()  # type: ignore[misc]
        self.metrics = LastMetrics()
        self._trained = [p for p in self.net.parameters() if p.requires_grad]
        (self._optimizer,) = self._named_optimizers.values()

    @property
    def net(self) -> Any:
        """The one module that is trained."""
        return self.module[DEFAULT_MODULE_ID]

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """One fused Adam, its learning rate kept by RLlib's schedule."""
        params = self.get_parameters(self.module[module_id])  # type: ignore[attr-defined]
        self.register_optimizer(  # type: ignore[attr-defined]
            module_id=module_id,
            optimizer=torch.optim.Adam(params, fused=True),
            params=params,
            lr_or_lr_schedule=config.lr,
        )

    def gradient_step(self, batch: dict[str, torch.Tensor]) -> None:
        """One update on a batch of tensors under RLlib's column names."""
        loss = self.compute_loss_for_module(  # type: ignore[attr-defined]
            module_id=DEFAULT_MODULE_ID,
            config=self.config,
            batch=batch,
            fwd_out=self.net.forward_train(batch),
        )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(self._trained, self.config.grad_clip)
        self._optimizer.step()
        self.metrics.log_value((DEFAULT_MODULE_ID, "total_loss"), loss)

    def set_clock(self, env_steps: int) -> None:
        """Brings every schedule to a trial's environment steps, after a restore.

        A checkpoint holds its donor's learning rate: without this the first updates after an
        exploit would run at it.
        """
        for optimizer, schedule in self._optimizer_lr_schedules.items():
            rate = float(schedule.update(timestep=env_steps))
            for group in optimizer.param_groups:
                group["lr"] = rate
