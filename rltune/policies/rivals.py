"""What the best policy of a sweep is held against: the runner-up and the preset's defaults."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from rltune.policies import evaluation
from rltune.policies.several import scores as scores_of
from rltune.runs import lineage
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import Rival

Role = Literal["runner-up", "defaults"]


def rivals(
    folder: RunFolder, best: Path, ranked: Sequence[Path], seeds: Sequence[int]
) -> list[Rival]:
    """Scores the best policy's rivals, see :class:`rltune.runs.summary_record.Rival`.

    A rival whose episodes cannot be scored is left out, and so are defaults that the best policy
    itself was trained at.

    Args:
        best: checkpoint of the best policy.
        ranked: checkpoints that played for being the best, in their order.
        seeds: a part of those of the best policy's evaluation.
    """
    every = folder.checkpoints()
    found: dict[Role, Path | None] = {
        "runner-up": _of_another_trial(best, [*ranked, *every]),
        "defaults": _at_the_defaults(folder, best, every),
    }
    paths = list(dict.fromkeys(path for path in found.values() if path is not None))
    played = scores_of(folder, [(path, seeds) for path in paths])
    scores = dict(zip(paths, played, strict=True))
    rivals = []
    for role, path in found.items():
        result = path and evaluation.evaluated(scores[path], seeds, folder.spec.metric)
        if path is not None and result:
            rivals.append(
                Rival(
                    role=role,
                    trial=path.parts[-3],
                    checkpoint=str(path.relative_to(folder.path)),
                    env_steps=folder.record(path).env_steps,
                    evaluation=result,
                )
            )
    return rivals


def _of_another_trial(best: Path, checkpoints: Iterable[Path]) -> Path | None:
    return next((path for path in checkpoints if path.parts[-3] != best.parts[-3]), None)


def _at_the_defaults(folder: RunFolder, best: Path, checkpoints: Sequence[Path]) -> Path | None:
    """The best checkpoint whose weights have known the defaults alone; None where the winner has.

    Of a population it may be young: members change their settings.
    """
    if _knows_the_defaults_alone(folder, best):
        return None
    return next((path for path in checkpoints if _knows_the_defaults_alone(folder, path)), None)


def _knows_the_defaults_alone(folder: RunFolder, checkpoint: Path) -> bool:
    spec, record = folder.spec, folder.record(checkpoint)
    if not lineage.is_default(spec, record.settings or {}):
        return False
    lived = lineage.segments(folder, checkpoint.parts[-3], record.env_steps)
    return all(lineage.is_default(spec, segment.settings) for segment in lived)
