"""Notes on a valid request that a user should read before it starts."""

from __future__ import annotations

from rltune import catalog, envs, schedulers
from rltune.request import env_copies, former, objectives
from rltune.request.resolve import CHECKPOINTS
from rltune.spec import CANDIDATES, JobSpec, RunSpec

#: Share of the training steps above which the steps of scoring are noted.
WORTH_TELLING = 0.1


def notes(spec: RunSpec, job: JobSpec) -> list[str]:
    """Returns the notes on a request, each one or two sentences."""
    if not spec.plays:
        candidates = [schedulers.limit(spec.budget), objectives.note(spec), former.note(spec)]
    else:
        candidates = [
            another(spec),
            schedulers.limit(spec.budget),
            short_interval(spec),
            objectives.note(spec),
            scoring_cost(spec, job),
            env_copies.note(spec),
            former.note(spec),
        ]
    return [note for note in candidates if note]


def another(spec: RunSpec) -> str | None:
    """Returns a note on a user's environment under an id of gymnasium's; None for any other."""
    namesakes = [one.env_id for one in spec.singles if envs.is_namesake(one.env_id)]
    if not namesakes:
        return None
    place, env_id = envs.places.split(namesakes[0])
    return (
        f"{env_id} is the environment that {place} registers under this id, not the one known by "
        "it: presets, thresholds and wrappers of that one do not apply"
    )


def scoring_cost(spec: RunSpec, job: JobSpec) -> str | None:
    """Returns a note on the cost of scoring; None if it is small compared with training."""
    episodes = scored_episodes(spec, job)
    longest = longest_episode(spec) if episodes else None
    budget, scored = spec.budget, spec.evaluation
    if longest is None:
        return None
    cost, training = episodes * longest, budget.steps * budget.most_trials
    if cost <= WORTH_TELLING * training:
        return None
    of = "episodes in all environments" if spec.environments else "episodes"
    return (
        f"scoring takes up to {cost:,} environment steps, {episodes:,} {of} of up to "
        f"{longest:,}; training takes {training:,}. Fewer with `episodes` "
        f"({scored.episodes}) and `selection_episodes` ({scored.selection_episodes})"
    )


def scored_episodes(spec: RunSpec, job: JobSpec) -> int:
    """Returns the number of episodes that choosing and scoring play; 0 if no policy is trained."""
    if not spec.plays:
        return 0
    budget, scored = spec.budget, spec.evaluation
    if job.searches:
        return CANDIDATES * scored.selection_episodes + scored.episodes
    each = min(CHECKPOINTS, max(1, budget.steps // budget.perturb_every))
    return budget.trials * (each * scored.selection_episodes + scored.episodes)


def longest_episode(spec: RunSpec) -> int | None:
    """Returns the environment steps of the longest episode; None if they are not known.

    In several environments an episode is one in each of them.
    """
    each = [_longest(single) for single in spec.singles]
    return None if None in each else sum(steps for steps in each if steps is not None)


def _longest(spec: RunSpec) -> int | None:
    asked = spec.env_options.env_args.get("max_episode_steps")
    if isinstance(asked, int) and asked > 0:
        return asked
    return catalog.environment(spec.env_id, spec.env_options.imports).max_episode_steps


def short_interval(spec: RunSpec) -> str | None:
    """Returns a note on a population that pauses within its longest episodes, or None.

    The steps that finish them only complete their returns, see RLTrainable._finish_episodes.
    """
    imports = spec.env_options.imports
    lengths = [catalog.environment(one.env_id, imports).max_episode_steps for one in spec.singles]
    if envs.MAX_EPISODE_STEPS in lengths:  # rltune's default: the longest episode is unknown
        return None
    longest = max((steps for steps in lengths if steps), default=None)
    copies = spec.settings["num_envs_per_env_runner"] * max(1, spec.settings["num_env_runners"])
    copies *= len(lengths)
    each = spec.budget.perturb_every // copies
    pauses = schedulers.row(spec.budget.scheduler).population and (
        spec.budget.perturb_every < spec.budget.steps
    )
    if not pauses or not longest or each >= longest:
        return None
    return (
        f"an interval of perturb_every = {spec.budget.perturb_every} gives each of {copies} "
        f"environments {each} steps, an episode takes up to {longest}: episodes that run when a "
        "member pauses are played to their end for their return, which nothing is learnt from. "
        "A longer interval spends less on it"
    )
