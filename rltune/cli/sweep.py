"""``rltune ALGO ENV``: the main job."""

from __future__ import annotations

import sys
from typing import Any

from rltune.callbacks.given import check_callbacks
from rltune.callbacks.loggers.process import check_access
from rltune.callbacks.loggers.trackers import check_loggers
from rltune.catalog.algorithms import ALGORITHMS
from rltune.catalog.presets import newer_version
from rltune.cli import console, request_view
from rltune.cli.live import watcher
from rltune.cli.parse import values
from rltune.cli.spelling import typed
from rltune.errors import BadInput, TrialsFailed, unknown
from rltune.policies.certificates import REQUIRED_SHARE, passed
from rltune.request.notes import notes
from rltune.request.resolve import make_request
from rltune.runs.folder import RunFolder
from rltune.runs.summary_record import Summary
from rltune.spec import JobSpec, RunSpec


def run(
    *,
    algo: str,
    env: str | None,
    save_buffer: bool | None,
    json: bool,
    quiet: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Checks the request, then runs the sweep."""
    if env is None:
        raise _missing_environment(algo)
    if save_buffer is not None:
        options["settings"] = [*options["settings"], f"save_buffer={str(save_buffer).lower()}"]
    spec, job = make_request(algo, env, command=["rltune", *sys.argv[1:]], **values(options))
    launch(spec, job, json=json, quiet=quiet, dry_run=dry_run)


def launch(spec: RunSpec, job: JobSpec, *, json: bool, quiet: bool, dry_run: bool) -> None:
    """Runs what was asked for to its end."""
    check_callbacks(spec.callbacks)
    check_loggers(spec.log)
    for single in spec.singles if spec.plays else ():
        if newer := newer_version(single.env_id):
            console.messages.print(f"note: {single.env_id} is out of date; {newer} has replaced it")
    if dry_run:
        RunFolder.check_free(spec)
        check_access(spec.log)
    if dry_run and not json:
        request_view.show(
            spec, job, [*request_view.start_rows(spec, job), *request_view.note_rows(spec, job)]
        )
        return
    for note in [] if quiet else notes(spec, job):
        console.messages.print(f"note: {typed(note)}", soft_wrap=True)
    if dry_run:
        console.print_json({**spec.to_dict(), **job.to_dict()})
        return
    with watcher(json=json, quiet=quiet) as watch:
        # Imported under the display: Ray and RLlib take seconds.
        watch.waiting("loading Ray and RLlib")
        from rltune.sweeps import runner

        folder = runner.run(spec, [watch], job)
    conclude(folder, json)


def conclude(folder: RunFolder, json: bool) -> None:
    """What is left to say once a sweep has ended.

    Raises:
        TrialsFailed: some trials did, or could not be scored.
    """
    summary = folder.summary
    if json:
        console.print_json(folder.summary_contents)
    if summary is None:
        return
    if problems := failures(folder, summary):
        raise TrialsFailed("\n".join(problems))
    share = summary.across_seeds.share_over_threshold if summary.across_seeds else None
    if folder.job.certificate and not passed(share):
        raise TrialsFailed(
            f"{folder.spec.algo} on {folder.spec.env} is not certified: {share:.0%} of the seeds "
            f"are over the threshold, {REQUIRED_SHARE:.0%} must be"
        )


def failures(folder: RunFolder, summary: Summary) -> list[str]:
    """Trials that failed, or could not be scored, in words."""
    return [*_failed(folder, summary), *_unscored(folder, summary)]


def _failed(folder: RunFolder, summary: Summary) -> list[str]:
    failed = [trial for trial in summary.trials if trial.status == "ERROR"]
    if not failed:
        return []
    first = failed[0]
    return [
        f"{len(failed)} of {len(summary.trials)} trials failed, {first.id} with: "
        f"{first.error} (whole: {folder.shown}/trials/{first.id}/error.txt)"
    ]


def _unscored(folder: RunFolder, summary: Summary) -> list[str]:
    """Of what has no score although a policy is there."""
    lost = summary.unscored
    again = [one for one in lost if not one.final]
    if not again and not summary.unscored_seeds:
        return []
    first = (again or lost)[0]
    episodes = sum(len(one.seeds) for one in again or lost)
    advice = (
        f"\nWhat was trained is kept. Try again with: rltune resume {folder.shown}" if again else ""
    )
    return [
        f"environment {folder.spec.env_id}, while a policy was scored: {first.error}\n"
        f"{episodes} episodes have no score, {first.trial}'s with seed {first.seeds[0]} "
        f"among them; all are in {folder.shown}/summary.json, as unscored{advice}"
    ]


def _missing_environment(word: str) -> BadInput:
    if word in ALGORITHMS:
        return BadInput(f"{word} on what? Name an environment: rltune {word} cartpole")
    return unknown("algorithm", word, ALGORITHMS, " See `rltune --help`.")
