"""Every environment that has a short name, for the tests that run over all of them."""

from __future__ import annotations

import pytest

from rltune import envs

#: One of each kind of image is enough for every day; the games differ in their actions alone.
HEAVY = {name for name, spec in envs.INFOS.items() if spec.images} - {"pong"} | {"humanoid"}

ALL = [pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name for name in envs.INFOS]
