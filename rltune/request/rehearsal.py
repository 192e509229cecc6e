"""What training will play, played before anything starts, in a process of its own."""

from __future__ import annotations

import time

from rltune import algorithms
from rltune.catalog.algorithms import algorithm
from rltune.errors import BadInput, ProcessEnded
from rltune.processes.subprocess_guard import Guard, isolated
from rltune.processes.tracebacks import headline
from rltune.request.preflight import what_ended
from rltune.spec import RunSpec

#: Seconds after which no end of an episode is waited for.
SECONDS = 3.0


def rehearse(spec: RunSpec) -> None:
    """Builds a trial's network and environments and lets them play until an episode has ended.

    Once as the policy explores, once as it is scored.

    Raises:
        BadInput: something in it raises, hangs or crashes; with its own exception and place.
    """
    try:
        problem = isolated(lambda guard: _problem(spec, guard), spec.env_options.env_timeout)
    except ProcessEnded as ended:
        problem = what_ended(spec.env_id, ended)
    if problem:
        raise BadInput(problem)


def _problem(spec: RunSpec, guard: Guard) -> str | None:
    trainable = getattr(algorithms, algorithm(spec.algo).class_name)
    values = {
        **spec.settings,
        "env": spec.env_id,
        "env_config": dict(spec.env_options.env_args),
        "simulator": spec.env_options.simulator,
        "seed": spec.trial_seed(0),
        "num_env_runners": 0,  # the same environments, all of them here
    }
    config = trainable.get_default_config().update_from_dict(values)
    try:
        config.validate()
        with guard:
            runner = config.env_runner_cls(config=config, worker_index=0, num_workers=0)
        # With the learner's parts: critics are in no runner's network.
        config.get_rl_module_spec(spaces=runner.get_spaces()).build()
        until = time.monotonic() + SECONDS
        for greedy in (False, True):
            over = False
            while not over and time.monotonic() < until:
                with guard:
                    over = runner.rehearse(greedy)
        with guard:
            runner.stop()
    except Exception as error:  # an environment may raise anything
        copies = config.num_envs_per_env_runner
        return (
            f"environment {spec.env_id}, played as in training ({spec.algo}, {copies} "
            f"{'copies' if copies > 1 else 'copy'}): {headline(error)}. Nothing was started."
        )
    return None
