"""Run folders that a command plays, trains or continues: whose they are is checked first."""

from __future__ import annotations

from pathlib import Path

from rltune.cli.modules import find_here
from rltune.request.trust import check_trusted, code_of
from rltune.runs.folder import RunFolder


def open_run(path: Path, trust: bool, resumes: bool = False) -> RunFolder:
    """A run whose environment may be made.

    Args:
        trust: the user vouches for it.
        resumes: whether its trials are to continue.

    Raises:
        BadInput: it is no run folder, or another's that would run code.
    """
    folder = RunFolder.open(path)
    check_trusted(folder, trust, resumes)
    spec = folder.spec
    ids = [single.env_id for single in spec.singles]
    own = [*spec.env_options.imports, *(name for name in ids if ":" in name)]
    own += spec.callbacks if resumes else []
    if code_of(spec) or own:
        find_here(own)
    return folder
