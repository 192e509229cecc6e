"""The search space: one definition, compiled for every scheduler and searcher.

A space maps the name of a setting to a :class:`Parameter`. Each parameter knows its domain, its
scale (the unit interval it is searched on) and the step PBT takes on it, so that schedulers and
searchers do not depend on its kind. In TOML, and in Python, a parameter is a one-key table::

    lr = { log = [1e-5, 1e-2], default = 1e-3 }
    gamma = { one_minus_log = [0.9, 0.9999] }
    train_batch_size = { pow2 = [32, 256] }
    fcnet_activation = { choice = ["relu", "tanh"] }
    dropout = { uniform = [0, 0.5], step = 0.1 }
"""

from __future__ import annotations

from rltune.space.choices import Choice, Grid
from rltune.space.constraints import Constraint
from rltune.space.derived import config_of, with_derived
from rltune.space.floats import Log, Normal, OneMinusLog, Uniform
from rltune.space.integers import Int, LogInt, Pow2
from rltune.space.nesting import nested
from rltune.space.parameter import Parameter
from rltune.space.parse import KINDS, parse_parameter
from rltune.space.search_space import MAX_REJECTIONS, Space
from rltune.space.searched import Searched, read_space, space_of

__all__ = [
    "KINDS",
    "MAX_REJECTIONS",
    "Choice",
    "Constraint",
    "Grid",
    "Int",
    "Log",
    "LogInt",
    "Normal",
    "OneMinusLog",
    "Parameter",
    "Pow2",
    "Searched",
    "Space",
    "Uniform",
    "config_of",
    "nested",
    "parse_parameter",
    "read_space",
    "space_of",
    "with_derived",
]
