"""A scheduler of ours as Tune's controller calls it, without Ray."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.exceptions import ObjectLostError, OutOfMemoryError, RayActorError, RayTaskError
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from rltune.runs.records import Decision
from rltune.schedulers.base import Action, Change, Turn
from rltune.schedulers.fifo import Fifo
from rltune.step_budget import StepBudget
from rltune.sweeps.failures import headline
from rltune.sweeps.ray_adapter.losses import as_death, is_loss, lacks_memory
from rltune.sweeps.ray_adapter.scheduler import TuneScheduler
from rltune.sweeps.ray_adapter.trials import last_saved, start_from


class Scripted(Fifo):
    """Answers what it is told to, and notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.action = Action.CONTINUE
        self.turn: Turn | None = None

    def added(self, trial: str, settings: Mapping[str, Any]) -> None:
        self.calls.append(("added", trial, settings["lr"]))

    def reported(self, trial: str, report: Mapping[str, Any], others_wait: bool) -> Action:
        self.calls.append(("reported", trial, others_wait))
        return self.action

    def ended(self, trial: str, report: Mapping[str, Any] | None) -> None:
        self.calls.append(("ended", trial, report))

    def choose(self, waiting: Sequence[str]) -> Turn:
        self.calls.append(("choose", list(waiting)))
        return self.turn or super().choose(waiting)


class Controller:
    """What a scheduler sees of Tune's controller."""

    def __init__(self, trials: list[Trial]) -> None:
        self.trials = trials
        self.room = 0
        self.num_cached_objects = 0
        self.stopped: list[str] = []
        self.saved: list[str] = []
        self._resetting_trials: set[Trial] = set()
        self._trial_to_actor: dict[Trial, Any] = {}

    @property
    def _actor_cache(self) -> Controller:
        return self

    def increase_max(self, resources: Any) -> None:
        self.room += 1

    def get_trials(self) -> list[Trial]:
        return self.trials

    def stop_trial(self, trial: Trial) -> None:
        self.stopped.append(trial.trial_id)

    def _schedule_trial_save(self, trial: Trial, result: Mapping[str, Any]) -> None:
        self.saved.append(trial.trial_id)


class Setting:
    """Three trials in two slots; the first one runs."""

    def __init__(self) -> None:
        self.trials = [
            Trial("ppo", trial_id=f"t{n:02d}", config={"lr": n}, stub=True) for n in (0, 1, 2)
        ]
        self.controller = Controller(self.trials)
        self.scheduler = Scripted()
        self.decided: list[Decision] = []
        self.tune = TuneScheduler(self.scheduler, lambda: 2, self.decided.extend, StepBudget(None))
        for trial in self.trials:
            self.tune.on_trial_add(self.controller, trial)
        self.trials[0].set_status(Trial.RUNNING)

    def chosen(self) -> str | None:
        trial = self.tune.choose_trial_to_run(self.controller)
        return None if trial is None else str(trial.trial_id)


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_there_is_room_for_an_idle_process_a_slot(setting: Setting) -> None:
    assert setting.controller.room == 2
    assert setting.scheduler.calls == [("added", f"t{n:02d}", n) for n in (0, 1, 2)]


def test_trials_wait_that_neither_run_nor_start(setting: Setting) -> None:
    controller, (_, second, third) = setting.controller, setting.trials
    third.set_status(Trial.PAUSED)
    assert setting.chosen() == "t01"
    controller._trial_to_actor = {second: "starting"}
    assert setting.chosen() is None, "its process takes the second slot"
    controller.num_cached_objects = 1
    assert setting.chosen() == "t01", "which an idle process spares it"
    controller._resetting_trials = {second}
    assert setting.chosen() is None
    asked = [call[1] for call in setting.scheduler.calls if call[0] == "choose"]
    assert asked == [["t01", "t02"], [], ["t01", "t02"], []]


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        (Action.CONTINUE, TrialScheduler.CONTINUE),
        (Action.SAVE, TrialScheduler.CONTINUE),
        (Action.PAUSE, TrialScheduler.PAUSE),
        (Action.STOP, TrialScheduler.STOP),
    ],
)
def test_an_action_is_tunes_answer(setting: Setting, action: Action, answer: str) -> None:
    setting.scheduler.action = action
    assert (
        setting.tune.on_trial_result(setting.controller, setting.trials[0], {"env_steps": 7})
        == answer
    )
    assert setting.scheduler.calls[-1] == ("reported", "t00", True)
    assert setting.controller.saved == ["t00"] * (action is Action.SAVE)
    stop = Decision(kind="stop", trial="t00", env_steps=7)
    assert setting.decided == [stop] * (action is Action.STOP)


def test_a_change_is_made_before_it_is_told(setting: Setting, tmp_path: Path) -> None:
    trial, other = setting.trials[1:]
    start_from(other, tmp_path / "own")
    decisions = [
        Decision(kind="exploit", trial=f"t{n:02d}", env_steps=5, donor="t00") for n in (1, 2)
    ]
    settings = []

    def decided(new: Sequence[Decision]) -> None:
        settings.append(trial.config)
        setting.decided.extend(new)

    setting.tune = TuneScheduler(setting.scheduler, lambda: 2, decided, StepBudget(None))
    for each in setting.trials:
        setting.tune.on_trial_add(setting.controller, each)
    changes = [
        Change(decisions[0], {"lr": 9}, tmp_path / "donor"),
        Change(decisions[1], {"lr": 8}),
    ]
    setting.scheduler.turn = Turn("t02", changes, stops=["t00"])
    assert setting.chosen() == "t02"
    assert settings[0] == {"lr": 9}
    stop = Decision(kind="stop", trial="t00", env_steps=0)
    assert setting.decided == [*decisions, stop]
    assert [each.config["lr"] for each in setting.trials] == [0, 9, 8]
    starts = [saved.path.name for saved in map(last_saved, (trial, other)) if saved]
    assert starts == ["donor", "own"]
    assert setting.controller.stopped == ["t00"]


def test_a_trial_that_failed_has_ended_without_a_report(setting: Setting) -> None:
    first, second, third = setting.trials
    setting.tune.on_trial_complete(setting.controller, first, {"env_steps": 9})
    setting.tune.on_trial_error(setting.controller, second)
    setting.tune.on_trial_remove(setting.controller, third)
    assert setting.scheduler.calls[-3:] == [
        ("ended", "t00", {"env_steps": 9}),
        ("ended", "t01", None),
        ("ended", "t02", None),
    ]


@pytest.mark.fault(12)
def test_any_error_of_ray_s_own_is_the_death_of_a_process() -> None:
    """Of others than these two Tune raises that they are unexpected, and ends the sweep."""
    low = as_death(
        OutOfMemoryError("1 worker(s) were killed due to the node running low on memory")
    )
    assert isinstance(low, RayActorError)
    assert not is_loss(low)
    assert "the machine ran out of memory" in headline(str(low))
    lost = as_death(ObjectLostError("00" * 28, None, ""))
    assert is_loss(lost), str(lost)
    died, other = RayActorError(), ValueError()
    assert as_death(died) is died
    assert as_death(other) is other


@pytest.mark.parametrize(
    ("cause", "is_short"),
    [
        (MemoryError("no room"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("capture failed; before it: torch.OutOfMemoryError"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling it"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("no number"), False),
    ],
)
def test_what_a_batchs_process_raises_says_that_memory_is_short(
    cause: Exception, is_short: bool
) -> None:
    text = "".join(traceback.format_exception(cause))  # as Ray has it
    raised = RayTaskError("train", text, cause)
    assert lacks_memory(raised.as_instanceof_cause()) is is_short


def test_torch_itself_says_that_memory_is_short() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(10**15)
    text = "".join(traceback.format_exception(raised.value))
    assert lacks_memory(RayTaskError("train", text, raised.value).as_instanceof_cause())


def test_a_process_that_ray_ended_is_not_short_of_memory_for_its_batch() -> None:
    """What an environment fills, a smaller batch fills too."""
    assert not lacks_memory(as_death(OutOfMemoryError("node low on memory (OutOfMemoryError)")))
