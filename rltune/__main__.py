"""``python -m rltune`` and the installed script ``rltune``."""

from __future__ import annotations

import os
import sys

if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:  # noqa: PTH109
    # `python -m` puts the current folder first: what lies there would be imported in place of
    # installed packages. Where a user names a module of theirs, rltune.cli.modules finds it.
    del sys.path[0]

from rltune.cli import main

if __name__ == "__main__":
    main()
