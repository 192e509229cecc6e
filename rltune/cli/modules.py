"""A user's own modules: found in the current folder, after everything that is installed.

The current folder is on the import path where the user names a module of theirs, and only then: a
``torch.py`` that happens to lie there is nobody's wish. Nothing here takes time to import.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from rltune.errors import BadInput


def find_here(modules: Iterable[str]) -> None:
    """Lets modules of the current folder be imported.

    Args:
        modules: names of those that will be, or ``module:Name``.

    Raises:
        BadInput: one of them has the name of an installed package, which comes first.
    """
    here = Path.cwd()
    if str(here) not in sys.path:
        sys.path.append(str(here))
    names = {module.partition(":")[0] for module in modules}
    for top in {name.partition(".")[0] for name in names if not name.endswith(".py")}:
        own = next(
            (p for p in (here / f"{top}.py", here / top / "__init__.py") if p.is_file()), None
        )
        if own is None or top in sys.modules:
            continue
        found = find_spec(top)
        if found is not None and found.origin and not Path(found.origin).is_relative_to(here):
            raise BadInput(
                f"{own} has the name of an installed package, {found.origin}, which comes first: "
                "rename yours"
            )
