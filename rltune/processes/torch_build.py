"""What torch was built with, without importing it: it may be on a node that lacks rltune."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

#: Variable under which GPUs that Ray alone believes in are taken for real: networks train on CPUs.
FAKE = "RLTUNE_FAKE_GPUS"


def torch_cuda() -> str:
    """The version of CUDA, or of ROCm, that torch was built with; empty for none, or no torch."""
    if os.environ.get(FAKE):
        return FAKE
    spec = find_spec("torch")
    if spec is None or not spec.origin:
        return ""
    text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    found = re.findall(r"^(?:cuda|hip)\b[^=\n]*= *'([^']+)'", text, re.MULTILINE)
    return str(found[0]) if found else ""
