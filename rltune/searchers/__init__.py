"""Searchers: the settings a trial starts with. One file each, one table.

A searcher's module has one function, ``build(spec) -> Searcher``. Adding one is a new file and a
row here: the command line's help and lists, and the contract tests, follow from the table.
Importing the table loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from rltune.errors import BadInput, keyword, unknown

if TYPE_CHECKING:
    from rltune.metric import Metric
    from rltune.searchers.history import History
    from rltune.space import Space
    from rltune.spec import RunSpec


@dataclass(frozen=True)
class SearcherRow:
    """One line of the table.

    Attributes:
        doc: what it is, in a few words.
        extra: rltune's optional extra that installs its library; empty where it needs none.
        modules: what has to be importable.
        plans: whether the number of trials decides about each of them: none can be added later.
        slow: whether a suggestion takes a tenth of a second and more.
        by_hand: what is installed after the extra and without its own requirements, which ask for
            versions that rltune cannot have.
        broken: why it cannot run, and what works instead; empty for one that can.
        learns: whether its suggestions depend on the outcomes of trials.
        grids: whether it tries every option of a parameter of kind grid equally often.
        objectives: whether it learns from several objectives.
        draws: whether it draws a suggestion, so that several for one trial can be chosen from.
    """

    doc: str
    extra: str = ""
    modules: tuple[str, ...] = ()
    plans: bool = False
    slow: bool = False
    by_hand: str = ""
    broken: str = ""
    learns: bool = True
    grids: bool = False
    objectives: bool = False
    draws: bool = False

    @property
    def state(self) -> str:
        """Its state on this installation: "ready", or what is missing."""
        if self.broken:
            return self.broken
        if all(find_spec(name) is not None for name in self.modules):
            return READY
        by_hand = f" && pip install --no-deps '{self.by_hand}'" if self.by_hand else ""
        return f"pip install 'rltune[{self.extra}]'{by_hand}"


READY = "ready"

SEARCHERS: dict[str, SearcherRow] = {
    "random": SearcherRow(
        "the preset's defaults first, then random draws, each on its parameter's own scale",
        learns=False,
        grids=True,
        draws=True,
    ),
    "sobol": SearcherRow(
        "a scrambled Sobol sequence: covers the space more evenly than random draws",
        learns=False,
        grids=True,
    ),
    "grid": SearcherRow(
        "every combination of a few values of each setting", plans=True, learns=False, grids=True
    ),
    "tpe": SearcherRow(
        "Optuna's tree-structured Parzen estimator (Bergstra et al. 2011)",
        "optuna",
        ("optuna",),
        objectives=True,
        draws=True,
    ),
    "nsga2": SearcherRow(
        "NSGA-II, Optuna's genetic algorithm for several objectives (Deb et al. 2002)",
        "optuna",
        ("optuna",),
        objectives=True,
        draws=True,
    ),
    "gp": SearcherRow(
        "Optuna's Gaussian process with expected improvement", "optuna", ("optuna",), slow=True
    ),
    "cmaes": SearcherRow(
        "CMA-ES, an evolution strategy, for numbers and choices (Hamano et al. 2025)",
        "cmaes",
        ("cmaes",),
    ),
    "hyperopt": SearcherRow(
        "HyperOpt's TPE, each setting by itself (Bergstra et al. 2013)", "hyperopt", ("hyperopt",)
    ),
    "ax": SearcherRow(
        "Ax's Gaussian process of BoTorch (Olson et al. 2025)", "ax", ("ax",), slow=True
    ),
    "bayesopt": SearcherRow(
        "a Gaussian process with an upper confidence bound, of the package bayesian-optimization",
        "bayesopt",
        ("bayes_opt",),
        slow=True,
    ),
    "optuna": SearcherRow(
        "samplers of Optuna, each by its own name",
        broken="name the sampler: tpe (Optuna's default), gp, nsga2 or cmaes",
    ),
    "bohb": SearcherRow(
        "BOHB's densities at the largest budget that enough trials reach (Falkner et al. 2018)",
        draws=True,
    ),
    "nevergrad": SearcherRow(
        "Nevergrad's evolution strategy CMA-ES with a diagonal covariance (Ros & Hansen 2008)",
        "nevergrad",
        ("nevergrad",),
    ),
    "zoopt": SearcherRow(
        "ZOOpt's sequential RACOS: a classifier of good regions (Hu et al. 2017)",
        "zoopt",
        ("zoopt",),
    ),
    "hebo": SearcherRow(
        "HEBO: a Gaussian process of warped scores (Cowen-Rivers et al. 2022); takes seconds",
        "hebo",
        ("hebo", "pymoo", "gpytorch"),
        slow=True,
        by_hand="HEBO==0.3.6",
    ),
    "sigopt": SearcherRow(
        "SigOpt's service",
        broken="SigOpt's service has ended and its client has nothing to ask. Use tpe or bohb.",
    ),
}


class Searcher(Protocol):
    """Chooses the settings that trials start with, one trial after the other.

    A searcher is built from a :class:`rltune.spec.RunSpec`: ``spec.space`` says what is searched,
    ``spec.settings`` holds every setting that is not, ``spec.seed`` seeds all random draws.

    ``tests/searchers/test_searcher_contract.py`` holds every searcher of the table to this:

    - *Space*: a suggestion has exactly the names in ``spec.space``, lies in it and keeps its
      constraints, which may also concern ``spec.settings``.
    - *Memory*: a suggestion follows from the seed, its number and the history alone, which the
      sweep keeps. Another searcher that is built from the same request and asked with the same
      number and history gives the same answer: this is how a sweep is resumed.
    - *Quiet*: global random generators are left as they were.

    A searcher that wraps a library is a :class:`rltune.searchers.library.LibrarySearcher`.

    Example:
        >>> from rltune.request.resolve import make_spec
        >>> from rltune.searchers.history import History
        >>> searcher = build(make_spec("ppo", "cartpole", searcher="random"))
        >>> history = History()
        >>> history.started("t00", searcher.suggest(0, history), seed=1)
        >>> history.reported("t00", 5_000, score=21.0)
        >>> history.ended("t00")
        >>> values = searcher.suggest(1, history)
    """

    def suggest(self, number: int, history: History) -> dict[str, Any]:
        """The searched settings of a new trial.

        Args:
            number: how many suggestions the sweep was given before this one. Trials that start
                from points of the user's are in the history, and are not counted.
            history: every trial so far; those that still run are pending.

        Raises:
            BadInput: no values keep the constraints of the space.
        """


def check(name: str, space: Space | None = None, goals: Sequence[Metric] = ()) -> None:
    """Raises BadInput for a searcher that cannot run here; says what to install or to use.

    Args:
        name: of the searcher.
        space: what it is to search.
        goals: what it is to search for.
    """
    if name not in SEARCHERS:
        raise unknown("searcher", name, SEARCHERS)
    row = SEARCHERS[name]
    if row.broken:
        raise BadInput(f"searcher {name}: {row.broken}")
    if row.state != READY:
        raise BadInput(f"searcher {name} needs its library: {row.state}")
    if len(goals) > 1 and row.learns and not row.objectives:
        able = [other for other, each in SEARCHERS.items() if each.objectives]
        raise BadInput(
            f"objective: searcher {name} learns from {goals[0].name} alone and would ignore "
            f"{' and '.join(goal.objective for goal in goals[1:])}: use searcher "
            f"{' or '.join(able)}, or {keyword(searcher='random')}, which learns from nothing"
        )
    if space is not None and space.grid() and not row.grids:
        able = [other for other, row in SEARCHERS.items() if row.grids]
        raise BadInput(
            f"searcher {name} does not try every option of {', '.join(space.grid())} equally often:"
            f" write choice instead of grid, or use searcher {', '.join(able)}"
        )


def build(spec: RunSpec) -> Searcher:
    """The searcher that a run asks for."""
    check(spec.budget.searcher, spec.space, spec.goals)
    searcher: Searcher = import_module(f"rltune.searchers.{spec.budget.searcher}").build(spec)
    if not spec.budget.cost_aware:
        return searcher
    chooser = import_module("rltune.searchers.cost_aware")
    chooser.check(spec)
    found: Searcher = chooser.CostAwareSearcher(spec, searcher)
    return found


def starting_point(
    spec: RunSpec, searcher: Searcher, index: int, history: History
) -> dict[str, Any]:
    """Settings and seed of trial number ``index``.

    A given point while there is one, then the searcher's suggestion.
    """
    if index < len(spec.points):
        defaults = {name: spec.settings[name] for name in spec.space}
        searched = {**defaults, **spec.points[index]}
    else:
        searched = searcher.suggest(index - len(spec.points), history)
    return {**spec.settings, **searched, "seed": spec.trial_seed(index)}
