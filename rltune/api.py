"""rltune from Python: ``rltune.sweep``, ``rltune.tune`` and ``rltune.load``."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rltune import schedulers
from rltune.callbacks.given import CallbackLike, split
from rltune.catalog.environments import EnvLike
from rltune.engine.episodes import REWARD
from rltune.envs import places
from rltune.live import notebook
from rltune.processes.watchdog import ENV_TIMEOUT
from rltune.races.methods import methods as methods_of
from rltune.races.outcome import Outcome, conclude
from rltune.races.race import race
from rltune.request.functions import Function, SpaceLike, function_spec
from rltune.request.replay import replay_spec
from rltune.request.resolve import landscape_request, make_request, make_spec
from rltune.request.shares import EnvsLike
from rltune.request.trust import adopt, check_trusted
from rltune.run import Run
from rltune.runs import checkpoints
from rltune.runs.folder import RunFolder
from rltune.runs.remote import location
from rltune.sweeps import runner

logger = logging.getLogger("rltune")

#: Arguments that are passed on by themselves.
_NO_OPTIONS = frozenset({"algo", "env", "callbacks", "number_of_settings", "seeds", "methods"})


def sweep(
    algo: str,
    env: EnvsLike,
    *,
    scheduler: str | None = None,
    searcher: str | None = None,
    cost_aware: bool | None = None,
    trials: int | None = None,
    seeds_per_trial: int | None = None,
    judge: str | None = None,
    steps: int | None = None,
    total_steps: int | None = None,
    time_budget: float | None = None,
    target: float | None = None,
    metric: str = REWARD,
    mode: str = "max",
    thresholds: Mapping[str, float] | None = None,
    objective: str | Sequence[str] = (),
    concurrent: int | None = None,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float = 0.0,
    memory_per_trial: int | str = 0,
    placement: str = "pack",
    batch: int | str = "auto",
    max_failures: int = 2,
    env_timeout: float = ENV_TIMEOUT,
    env_copies: int | None = None,
    env_processes: int | None = None,
    episodes: int | None = None,
    selection_episodes: int | None = None,
    simulator: str = "auto",
    seed: int = 0,
    population: Mapping[str, Any] | None = None,
    points: Sequence[Mapping[str, Any] | str | Path] = (),
    former: Sequence[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    space: Mapping[str, Any] | None = None,
    preset: str | Path | None = None,
    env_args: Mapping[str, Any] | None = None,
    imports: Sequence[str] = (),
    storage: str | Path = "runs",
    name: str | None = None,
    address: str | None = None,
    callbacks: Sequence[CallbackLike] = (),
    log: str | Sequence[str] = (),
    log_all: bool = False,
    report: bool = True,
) -> Run:
    """Tunes an algorithm on an environment. Omitted arguments come from the preset.

    >>> run = rltune.sweep("ppo", "cartpole", scheduler="pbt", trials=3, steps=50_000, seed=0)
    >>> run.best["trial"]
    't01'

    Args:
        algo: "dqn", "ppo" or "sac".
        env: a short name ("cartpole"), a gymnasium id, "module:Id-v0", or an own environment: its
            class, a function that returns one, "module:Class", "module:function", or the same of
            a file, "path/to/my_env.py:Class". What is defined or registered at the top level of
            the main script will do: workers load the script, as far as its first call of rltune.
            Several of them, "cartpole,acrobot" or a list, are tuned together: settings are judged
            by the mean over them of returns on a scale from a random policy (0) to the threshold
            (1), ``normalized_score``. Settings, space and budget are the first one's.
        scheduler: "pb2", "pbt", "mfpbt", "asha", "hyperband", "bohb", "median" or "fifo".
        searcher: "random", "sobol", "tpe", ...: ``rltune list searchers`` shows all.
        cost_aware: whether to prefer suggestions that promise most for their predicted seconds.
        trials: trials of the sweep; of a population its members and controls.
        seeds_per_trial: seeds that settings are judged on: a race, in which only the better half
            gets more. ``trials`` is then the number of settings.
        judge: what the scores of several seeds come to: "mean", "iqm" or "worst".
        steps: environment steps of a trial, in all of its environments together. Each has an equal
            share.
        total_steps: environment steps of all trials together, lost work included, at which the run
            ends.
        time_budget: seconds after which the run ends.
        target: value of the metric at which the run ends; inf for never. The preset's by default,
            which is a return.
        metric: metric to tune, select and score by: "episode_info/<key>" for a number in ``info``
            at an episode's end, "episode_reward_mean" or "episode_len_mean".
        mode: whether a larger or a smaller metric is better: "max" or "min".
        thresholds: return that counts as 1 in an environment, of several that are tuned together,
            by its name. By default it is the threshold that the environment is known by.
        objective: metrics to tune together, "-" where smaller is better:
            "episode_reward_mean,-seconds". Kept are the trials that none beats in all; the first
            one selects the best. It stands for ``metric`` and ``mode``; ``seconds`` and
            ``env_steps`` are what a trial has spent. ``summary["front"]`` has those that are kept.
        concurrent: trials at a time; as many as fit by default.
        cpus_per_trial: CPUs reserved for a trial.
        gpus_per_trial: GPUs reserved for a trial; fractions too.
        memory_per_trial: memory reserved for a trial, like "2GiB", or in bytes.
        placement: how the processes of a trial, or the batches of a sweep, share a cluster: "pack"
            on few machines, "spread" over many.
        batch: trials that train as one batch, in one process: a number, "off", or "auto" for all
            where a GPU is asked for, and for populations and many seeds where it is faster.
        max_failures: retries of a trial that fails, from its last checkpoint.
        env_timeout: seconds that one call of a trial's environments may take; inf for no limit.
            All their copies are stepped in one call. After it the trial's process is ended, and
            the trial tried again.
        env_copies: copies of the environment at any time, in all processes: one a port, one a
            licence. Trials at a time and a preset's ``num_envs_per_env_runner`` are lowered to it.
        env_processes: processes that step a trial's copies; by default its CPUs, where that is
            faster. Results are those of one process.
        episodes: whole episodes behind a score, each on its own seed. The preset's, or 100.
        selection_episodes: whole episodes that each candidate checkpoint plays for being the best.
            The preset's, or 20.
        simulator: what steps the environments; "auto": EnvPool where it is installed and faster.
            "gymnasium" or "envpool" otherwise. Scores are always gymnasium's.
        seed: seed of every random draw.
        population: options of the scheduler, by name: ``perturb_every`` of each of them,
            ``synchronous``, ``burn_in``, ``quantile``, ``margin`` and ``controls`` of pb2, pbt and
            mfpbt, ``resample_probability`` of pbt and mfpbt, ``reduction_factor`` of asha,
            hyperband and bohb, ``min_samples`` of median; see :class:`rltune.options.Budget`. One
            that the scheduler does not use is refused.
        points: searched settings that the first trials start from: a table as {"lr": 1e-3}, or a
            file: TOML with ``points = [{lr = 1e-3}]``, JSON with a list of tables. The settings
            that a point lacks have the preset's values.
        former: former runs whose trials the searcher learns from. ``landscape``: the one that
            ships. They are copied into the run.
        settings: settings to fix, by RLlib's name. They are no longer searched.
        space: settings to search, as in a preset: ``{"lr": {"log": [1e-5, 1e-2]}}``.
        preset: preset file that overrides the shipped one.
        env_args: arguments of the environment, by name; secrets stay off the disk. They keep their
            types; an environment with one ``config`` argument gets them as a dict. Of several
            environments the name says whose: "cartpole:sutton_barto_reward".
        imports: modules or files that register environments.
        storage: folder that holds run folders, or a URL: s3://bucket/runs.
        name: name of the run folder. Made from algorithm, environment and time by default.
        address: address of a Ray cluster to run on. None starts Ray here, for this sweep alone.
        callbacks: callbacks that are notified of the run: "module:Class" or "file.py:Class", which
            a resume notifies, too, or instances of subclasses of :class:`rltune.Callback`.
        log: experiment trackers that show the run, beside TensorBoard: "wandb", "mlflow", "aim",
            "comet", or several of them, as "wandb,mlflow". A resume continues with the same.
        log_all: whether TensorBoard shows every number of a trial's results, RLlib's hundred too.
        report: whether report.html is written at the end of the run.

    Raises:
        BadInput: with every problem that was found, before anything starts.
        NothingUsable: no trial left a policy.
        Interrupted: by a signal; the folder holds what there is.
        MachineError: the storage or Ray failed.
    """
    options = {k: v for k, v in locals().items() if k not in _NO_OPTIONS}
    places.starts()
    names, instances = split(callbacks)
    spec = make_spec(algo, env, callbacks=names, **options)
    if limit := schedulers.limit(spec.budget):
        logger.warning(limit)
    return Run(runner.run(spec, [*notebook.line(), *instances]))


def train(
    algo: str,
    env: EnvLike,
    *,
    seeds: int = 5,
    steps: int | None = None,
    time_budget: float | None = None,
    target: float | None = None,
    metric: str = REWARD,
    mode: str = "max",
    concurrent: int | None = None,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float = 0.0,
    memory_per_trial: int | str = 0,
    placement: str = "pack",
    batch: int | str = "auto",
    max_failures: int = 2,
    env_timeout: float = ENV_TIMEOUT,
    env_copies: int | None = None,
    env_processes: int | None = None,
    episodes: int | None = None,
    selection_episodes: int | None = None,
    simulator: str = "auto",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    preset: str | Path | None = None,
    env_args: Mapping[str, Any] | None = None,
    imports: Sequence[str] = (),
    storage: str | Path = "runs",
    name: str | None = None,
    address: str | None = None,
    callbacks: Sequence[CallbackLike] = (),
    log: str | Sequence[str] = (),
    log_all: bool = False,
    report: bool = True,
) -> Run:
    """Trains a preset's settings on several seeds, without a search, and scores each of them.

    >>> run = rltune.train("ppo", "cartpole", seeds=3, steps=50_000)

    Args:
        seeds: number of training runs, each on a seed that no sweep draws.

    The other arguments are those of :func:`sweep`; a target ends the seed that reaches it.

    Returns:
        A run whose summary also holds ``seeds``, a table, and ``across_seeds``, their IQM with its
        interval and the share over the threshold.

    Raises:
        RltuneError: as of :func:`sweep`.
    """
    options = {k: v for k, v in locals().items() if k not in _NO_OPTIONS}
    places.starts()
    names, instances = split(callbacks)
    spec, job = make_request(algo, env, trials=seeds, job="train", callbacks=names, **options)
    return Run(runner.run(spec, [*notebook.line(), *instances], job))


def landscape(
    algo: str,
    env: EnvLike,
    *,
    number_of_settings: int = 64,
    seeds: int = 4,
    steps: int | None = None,
    time_budget: float | None = None,
    metric: str = REWARD,
    mode: str = "max",
    concurrent: int | None = None,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float = 0.0,
    memory_per_trial: int | str = 0,
    placement: str = "pack",
    batch: int | str = "auto",
    max_failures: int = 2,
    env_timeout: float = ENV_TIMEOUT,
    env_copies: int | None = None,
    env_processes: int | None = None,
    episodes: int | None = None,
    selection_episodes: int | None = None,
    simulator: str = "auto",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    space: Mapping[str, Any] | None = None,
    preset: str | Path | None = None,
    env_args: Mapping[str, Any] | None = None,
    imports: Sequence[str] = (),
    storage: str | Path = "runs",
    name: str | None = None,
    address: str | None = None,
    callbacks: Sequence[CallbackLike] = (),
    log: str | Sequence[str] = (),
    log_all: bool = False,
    report: bool = True,
) -> Run:
    """Trains settings all over a preset's space, on several seeds each, and writes their curves.

    >>> run = rltune.landscape("ppo", "cartpole", number_of_settings=16, seeds=2)

    Args:
        number_of_settings: settings, of a Sobol sequence.
        seeds: training runs of each of them, on the same seeds.

    The other arguments are those of :func:`sweep`; no target ends a landscape early.

    Returns:
        A run, whose curves are those of :meth:`rltune.simulator.Table.from_run`.

    Raises:
        RltuneError: as of :func:`sweep`.
    """
    options = {k: v for k, v in locals().items() if k not in _NO_OPTIONS}
    places.starts()
    names, instances = split(callbacks)
    spec, job = landscape_request(
        algo, env, trials=number_of_settings, seeds=seeds, callbacks=names, **options
    )
    return Run(runner.run(spec, [*notebook.line(), *instances], job))


def compare(
    algo: str,
    env: EnvsLike,
    methods: str | Sequence[str] = ("random", "asha", "pbt", "pb2"),
    *,
    seeds: int = 5,
    steps: int | None = None,
    total_steps: int | None = None,
    perturb_every: int | None = None,
    metric: str = REWARD,
    mode: str = "max",
    concurrent: int | None = None,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float = 0.0,
    memory_per_trial: int | str = 0,
    placement: str = "pack",
    batch: int | str = "auto",
    max_failures: int = 2,
    env_timeout: float = ENV_TIMEOUT,
    env_copies: int | None = None,
    env_processes: int | None = None,
    episodes: int | None = None,
    selection_episodes: int | None = None,
    simulator: str = "auto",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    space: Mapping[str, Any] | None = None,
    preset: str | Path | None = None,
    env_args: Mapping[str, Any] | None = None,
    imports: Sequence[str] = (),
    storage: str | Path = "runs",
    name: str | None = None,
    address: str | None = None,
    log: str | Sequence[str] = (),
    log_all: bool = False,
) -> Outcome:
    """Races methods at equal environment steps, and says which are better and which are level.

    >>> outcome = rltune.compare("ppo", "cartpole", ["random", "asha+tpe", "pbt"], seeds=3)

    ``outcome.sentence`` says who leads, who is level with it and who is worse. A race that was
    stopped continues with the same arguments and the ``name`` of its folder.

    Args:
        methods: schedulers, searchers, or both as ``asha+tpe``; also as one text with commas.
        seeds: repetitions of each of them.
        total_steps: environment steps of each repetition; those of eight trials by default.

    The other arguments are those of :func:`sweep`; no target ends a repetition early.

    Returns:
        The methods in their order, with the scores, steps and seconds of each repetition.

    Raises:
        RltuneError: as of :func:`sweep`.
    """
    options = {k: v for k, v in locals().items() if k not in _NO_OPTIONS}
    places.starts()
    names = methods.split(",") if isinstance(methods, str) else methods
    asked = race(algo, env, methods_of([one.strip() for one in names]), seeds=seeds, **options)
    asked.run(lambda lap: lap.start(notebook.line()))
    return conclude(asked)


def tune(
    function: Function,
    space: SpaceLike,
    *,
    metric: str | None = None,
    mode: str = "max",
    objective: str | Sequence[str] = (),
    scheduler: str = "fifo",
    searcher: str | None = None,
    cost_aware: bool | None = None,
    trials: int = 10,
    seeds_per_trial: int | None = None,
    judge: str | None = None,
    steps: int | None = None,
    total_steps: int | None = None,
    time_budget: float | None = None,
    target: float | None = None,
    concurrent: int | None = None,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float = 0.0,
    memory_per_trial: int | str = 0,
    placement: str = "pack",
    max_failures: int = 2,
    seed: int = 0,
    population: Mapping[str, Any] | None = None,
    points: Sequence[Mapping[str, Any] | str | Path] = (),
    former: Sequence[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    storage: str | Path = "runs",
    name: str | None = None,
    address: str | None = None,
    callbacks: Sequence[CallbackLike] = (),
    log: str | Sequence[str] = (),
    log_all: bool = False,
    report: bool = True,
) -> Run:
    """Tunes any function that calls :func:`rltune.report`, or a Tune Trainable class.

    >>> run = rltune.tune("my_train.py:train", {"lr": {"log": [1e-5, 1e-2]}}, metric="accuracy")
    >>> run.best["trial"]
    't01'

    Args:
        function: "module:function", "path/to/file.py:function", or the function itself, which is
            called with a dict of the trial's settings and its ``seed``; a subclass of
            ``ray.tune.Trainable``; or an algorithm of RLlib's, by name ("DQN") or class, which runs
            on stock RLlib. Workers import it: it stands at the top level of a module or of the main
            script, which they load as far as its first call of rltune.
        space: settings to search, as in a preset, ``{"lr": {"log": [1e-5, 1e-2]}}``, or Tune's own,
            ``{"lr": tune.loguniform(1e-5, 1e-2)}``, in nested dicts too; or a TOML file.
        metric: metric to tune and select by, one of those that the function reports; of an
            algorithm, "episode_reward_mean".
        mode: whether a larger or a smaller metric is better: "max" or "min".
        objective: in the place of both, metrics to tune together: "accuracy,-latency", see
            :func:`sweep`.
        scheduler: "fifo", "asha", "pbt", "pb2" ...; all but fifo and median need
            ``steps``.
        searcher: what suggests settings, see ``rltune list searchers``; "random" by default, of
            several objectives "tpe".
        trials: trials of the sweep; of a population its members and controls.
        steps: reports of a trial, or the ``env_steps`` that it reports, after which it is over; of
            an algorithm, environment steps. By default it is over when its function returns.
        total_steps: steps of all trials together, lost work included, at which the run ends.
        time_budget: seconds after which the run ends.
        target: value of the metric at which the run ends.
        settings: settings to fix, as the function reads them.

    The other arguments are those of :func:`sweep`; an interval, ``perturb_every``, is a tenth of
    ``steps`` by default.

    Returns:
        A run whose ``best`` holds the settings and the checkpoint with the best metric. There is
        no policy to evaluate.

    Raises:
        RltuneError: as of :func:`sweep`.
    """
    options = {k: v for k, v in locals().items() if k not in {"function", "callbacks"}}
    places.starts()
    names, instances = split(callbacks)
    spec = function_spec(function, callbacks=names, **options)
    if limit := schedulers.limit(spec.budget):
        logger.warning(limit)
    return Run(runner.run(spec, [*notebook.line(), *instances]))


def replay(
    path: str | Path, *, seeds: int = 5, callbacks: Sequence[CallbackLike] = (), **options: Any
) -> Run:
    """Retrains the best policy of a sweep on fresh seeds: was it the schedule, or luck?

    Trains three arms on the same seeds, for as many steps as the best policy: its schedule of
    settings, its final settings held constant, and the best of the initial settings.

    >>> run = rltune.replay("runs/finished", seeds=3)

    Args:
        path: folder of a finished sweep.
        seeds: number of training runs of each arm.
        callbacks: as for :func:`sweep`; those of the sweep are not notified.
        options: ``seed, concurrent, cpus_per_trial, gpus_per_trial, storage, name, address,
            log, log_all, report``, as for :func:`sweep`; the defaults are those of the sweep.

    Returns:
        A run whose summary also holds ``arms``, the results of each, and ``comparisons``: the
        probability that a seed of one arm beats one of another, with its 95 % interval.

    Raises:
        BadInput: the sweep is not finished, its best policy had the same settings throughout, or
            it is another user's and would run their code, see :func:`trust`.
        RltuneError: as of :func:`sweep`.
    """
    places.starts()
    folder = RunFolder.open(path)
    check_trusted(folder)
    names, instances = split(callbacks)
    spec, job = replay_spec(folder, seeds, callbacks=names, **options)
    return Run(runner.run(spec, [*notebook.line(), *instances], job))


def extend(
    path: str | Path,
    *,
    trials: int | None = None,
    steps: int | None = None,
    total_steps: int | None = None,
    target: float | None = None,
    time_budget: float | None = None,
    callbacks: Sequence[CallbackLike] = (),
) -> Run:
    """Continues a finished sweep with a larger budget; its whole history is kept.

    More trials are suggested by its searcher. Longer training continues from the last checkpoints
    of trials that ended at their budget, or because the sweep ended.

    >>> run = rltune.extend("runs/finished", trials=8, steps=100_000)

    Args:
        path: folder of a finished sweep.
        trials: of the whole sweep, those that it has included.
        steps: environment steps of a trial, those that it has trained included.
        total_steps: environment steps of all trials together, those that it has taken included.
        target: another value of the metric at which the run ends; inf for never.
        time_budget: seconds after which the run ends, those that it has taken included.
        callbacks: notified of this part of the run, beside those that the sweep names.

    Raises:
        BadInput: the run is not finished, or cannot be extended by that; before anything changes.
        RltuneError: as of :func:`sweep`.
    """
    places.starts()
    folder = RunFolder.open(path)
    check_trusted(folder, resumes=True)
    asked = {
        "trials": trials,
        "steps": steps,
        "total_steps": total_steps,
        "target": target,
        "time_budget": time_budget,
    }
    changes = {name: value for name, value in asked.items() if value is not None}
    return Run(runner.extend(folder, changes, [*notebook.line(), *callbacks]))


def load(path: str | Path, *, trust: bool = False) -> Run:
    """Loads a run from its folder.

    >>> rltune.load("runs/finished").summary["stop_reason"]
    'steps'

    Args:
        trust: whether to trust the author of the folder; see :func:`trust`.

    Raises:
        BadInput: the path is not a run folder.
    """
    folder = RunFolder.open(path)
    if trust:
        adopt(folder)
    return Run(folder)


def trust(path: str | Path) -> None:
    """Signs the run folder or checkpoint of a person whom you trust as your own.

    Files that this user has not made are data: the modules and environments that a run names are
    not imported, and pickles not opened, until the folder is signed.

    >>> rltune.trust("runs/finished")

    Raises:
        BadInput: the path is neither.
        BadCheckpoint: the checkpoint is damaged.
    """
    if (location.local(path) / checkpoints.MANIFEST).is_file():
        checkpoints.sign(path)
    else:
        adopt(RunFolder.open(path))
