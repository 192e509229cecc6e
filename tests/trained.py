"""Run folders with a policy that has trained for a moment, without a sweep around it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.tune.result import TRIAL_INFO

from rltune import algorithms
from rltune.callbacks.base import Callbacks
from rltune.callbacks.run_writer import RunWriter
from rltune.catalog.algorithms import algorithm
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.sweeps.jobs import job_in
from rltune.sweeps.summary import finish

_QUICK = {
    "min_sample_timesteps_per_iteration": 500,
    "num_steps_sampled_before_learning_starts": 100,
    "buffer_capacity": 2_000,
    "training_intensity": 16.0,
}


def trained(
    storage: Path, algo: str, env: str, *, env_args: dict[str, Any] | None = None, **settings: Any
) -> RunFolder:
    """A run whose best checkpoint is that of one real member after one iteration.

    Args:
        env_args: of the environment that it is shown in, not of the one it trains in.
        settings: that differ from the preset's.
    """
    spec = make_spec(algo, env, storage=storage, name="run", env_args=env_args)
    quick = {key: value for key, value in _QUICK.items() if key in spec.settings}
    config = {
        **spec.settings,
        **quick,
        **settings,
        "env": spec.env_id,
        "seed": 5,
        TRIAL_INFO: SimpleNamespace(trial_id="t00", trial_name="t00"),
    }
    folder = RunFolder.create(spec)
    folder.lock.release()
    member = getattr(algorithms, algorithm(algo).class_name)(config=config)
    member.train()
    checkpoint = folder.path / "trials/t00/checkpoints/checkpoint_000000"
    checkpoint.mkdir(parents=True)
    member.save_checkpoint(str(checkpoint))
    member.stop()
    folder.keep_best(checkpoint, "t00")
    return folder


def concluded(folder: RunFolder, *trials: str) -> None:
    """Ends a run whose trials are done: scores it and writes its summary."""
    callbacks = Callbacks(RunWriter(folder.spec, folder))
    finish(job_in(folder), folder, callbacks, dict.fromkeys(trials, "TERMINATED"), "steps", 1.0)
