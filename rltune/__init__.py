"""rltune tunes reinforcement learning with Ray RLlib and Ray Tune.

    import rltune
    run = rltune.sweep("dqn", "cartpole", trials=4, seed=0)
    print(run.best)

The same from a shell: ``python -m rltune dqn cartpole``.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rltune.api import compare as compare
    from rltune.api import extend as extend
    from rltune.api import landscape as landscape
    from rltune.api import load as load
    from rltune.api import replay as replay
    from rltune.api import sweep as sweep
    from rltune.api import train as train
    from rltune.api import trust as trust
    from rltune.api import tune as tune
    from rltune.callbacks.base import Callback as Callback
    from rltune.errors import RltuneError as RltuneError
    from rltune.run import Run as Run
    from rltune.simulator import simulate as simulate
    from rltune.tasks.session import get_checkpoint as get_checkpoint
    from rltune.tasks.session import report as report

from rltune import import_path
from rltune._version import __version__


def _quiet_notebook() -> None:
    """Keeps the import of Ray from telling a notebook which packages it could draw with."""
    logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)
    with suppress(ImportError), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import_module("tqdm.auto")


if "IPython" in sys.modules:
    _quiet_notebook()

# In a checkout `envs/` and `presets/` lie beside this folder; a wheel has them inside it.
_HERE = Path(__file__).resolve().parent
if not (_HERE / "envs" / "__init__.py").is_file():
    __path__.append(str(_HERE.parent))

# In a trial's process: folders that the driver imports from, or copies of them.
sys.path[:] = import_path.whole()

# Public names load on first use, so that `rltune --help` imports nothing heavy.
_PUBLIC = {
    "sweep": "rltune.api",
    "train": "rltune.api",
    "landscape": "rltune.api",
    "compare": "rltune.api",
    "replay": "rltune.api",
    "extend": "rltune.api",
    "load": "rltune.api",
    "trust": "rltune.api",
    "tune": "rltune.api",
    "Run": "rltune.run",
    "Callback": "rltune.callbacks.base",
    "RltuneError": "rltune.errors",
    "simulate": "rltune.simulator",
    "get_checkpoint": "rltune.tasks.session",
    "report": "rltune.tasks.session",
}
#: Functions past which a script is not loaded by workers.
_STARTING = ("sweep", "train", "landscape", "compare", "replay", "extend", "tune")
__all__ = [
    "Callback",
    "RltuneError",
    "Run",
    "__version__",
    "compare",
    "extend",
    "get_checkpoint",
    "landscape",
    "load",
    "replay",
    "report",
    "simulate",
    "sweep",
    "train",
    "trust",
    "tune",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rltune' has no attribute {name!r}")
    places = sys.modules.get("rltune.envs.places")
    if places is not None and places.is_loading() and name in _STARTING:
        return partial(_started, places.starts, name)
    return getattr(import_module(_PUBLIC[name]), name)


def _started(starts: Callable[[], None], name: str, /, *args: Any, **kwargs: Any) -> Any:
    """A function of rltune.api for a script that workers load: they do not get past it."""
    starts()
    return getattr(import_module(_PUBLIC[name]), name)(*args, **kwargs)
