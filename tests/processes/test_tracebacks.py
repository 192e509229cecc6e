"""Headlines of failures: whatever a user's code raises, however it reaches us (FAULTS 78)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from rltune.errors import EnvironmentExit
from rltune.processes.tracebacks import headline, headline_of, headlined, plain
from rltune.processes.watchdog import Boundary
from rltune.sweeps.failures import headline as failure_headline


class lowercase(Exception):
    """A class whose name is no name of an error."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def plain_error() -> None:
    raise ValueError("boom")


def of_several_lines() -> None:
    raise ValueError("the plan:\n  step: one\nOther: two")


def of_no_words() -> None:
    raise KeyError


def of_an_own_class() -> None:
    raise lowercase("odd")


def that_cannot_be_shown() -> None:
    raise Unprintable


def that_speaks_of_actors() -> None:
    raise RuntimeError("The actor died because of an error\nValueError: not this one")


def in_the_standard_library() -> None:
    json.loads("{")


def while_another_was_handled() -> None:
    try:
        raise KeyError("first")
    except KeyError:
        raise RuntimeError("second")  # noqa: B904


def because_of_another() -> None:
    try:
        raise KeyError("first")
    except KeyError as error:
        raise RuntimeError("second") from error


def with_a_note() -> None:
    error = ValueError("boom")
    error.add_note("Hint: look here")
    raise error


def a_group() -> None:
    raise ExceptionGroup("two of them", [ValueError("a"), KeyError("b")])


def a_group_of_one() -> None:
    raise ExceptionGroup("one of them", [ValueError("a")])


def of_a_child_process() -> None:
    raise RuntimeError('remote:\n"""\nTraceback (most recent call last):\nValueError: x\n"""')


CASES: list[tuple[Callable[[], None], str]] = [
    (plain_error, "ValueError: boom"),
    (of_several_lines, "ValueError: the plan: step: one Other: two"),
    (of_no_words, "KeyError"),
    (of_an_own_class, "test_tracebacks.lowercase: odd"),
    (
        that_speaks_of_actors,
        "RuntimeError: The actor died because of an error ValueError: not this one",
    ),
    (
        in_the_standard_library,
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
    ),
    (while_another_was_handled, "RuntimeError: second"),
    (because_of_another, "RuntimeError: second"),
    (with_a_note, "ValueError: boom"),
]
ONLY_AT_HAND = [
    (that_cannot_be_shown, "test_tracebacks.Unprintable: its message cannot be shown"),
    (a_group, "ExceptionGroup: two of them (2 sub-exceptions): ValueError: a; KeyError: 'b'"),
    (a_group_of_one, "ValueError: a"),
    (
        of_a_child_process,
        'RuntimeError: remote: """ Traceback (most recent call last): ValueError: x """',
    ),
]


def _raised(raises: Callable[[], None]) -> Exception:
    try:
        raises()
    except Exception as error:
        return error
    raise AssertionError


@pytest.mark.fault(78)
@pytest.mark.parametrize(("raises", "words"), CASES + ONLY_AT_HAND)
def test_the_headline_names_the_users_line(raises: Callable[[], None], words: str) -> None:
    told = headline(_raised(raises))
    assert "\n" not in told
    if raises is a_group_of_one:
        assert told == words, "it was never raised by itself"
        return
    where = re.fullmatch(r"(.+) \(test_tracebacks\.py:(\d+), in (\w+)\)", told)
    assert where, told
    assert where[1] == words
    assert where[3] == raises.__name__
    assert raises.__code__.co_firstlineno < int(where[2]) < raises.__code__.co_firstlineno + 8


def _as_ray_has_it(error: Exception, task: str = "ray::PPO(env=X; runners=0).train()") -> str:
    heading = f"\x1b[36m{task}\x1b[39m (pid=7, ip=192.0.2.2, actor_id=1, repr=<PPO>)"
    text = "".join(traceback.format_exception(error)).strip()
    return text.replace("Traceback (most recent call last):", heading)


@pytest.mark.fault(78)
@pytest.mark.parametrize(("raises", "words"), CASES)
@pytest.mark.parametrize("created", [False, True])
def test_a_headline_is_read_from_the_text_of_a_ray_error(
    raises: Callable[[], None], words: str, created: bool
) -> None:
    error = _raised(raises)
    text = _as_ray_has_it(error)
    if created:
        text = f"The actor died because of an error raised in its creation task, {text}"
    told = headline_of(text)
    expected = headline(error)
    if raises is with_a_note:
        expected = expected.replace("boom", "boom Hint: look here")
    assert told == expected
    whole = plain(text)
    assert whole.startswith("Traceback (most recent call last):\n  File ")
    for noise in ("ray::", "pid=", "\x1b"):
        assert noise not in whole


@pytest.mark.fault(78)
def test_a_headline_crosses_the_process_of_a_remote_runner() -> None:
    """What its trial gets from Ray is an exception of Ray's, around the text of the first."""
    inner = _as_ray_has_it(_raised(plain_error), "ray::Runner.sample()")

    class FromRay(Exception):
        pass

    FromRay.__name__ = FromRay.__qualname__ = "RayTaskError(ValueError)"
    FromRay.__module__ = "ray.exceptions"
    assert headline(FromRay(inner)).startswith("ValueError: boom (test_tracebacks.py:")
    outer = _as_ray_has_it(_raised(lambda: (_ for _ in ()).throw(FromRay(inner))))
    assert headline_of(outer).startswith("ValueError: boom (test_tracebacks.py:")
    assert plain(outer).count("Traceback") == 1, "its own alone"

    def set_up() -> None:  # RLlib raises the cause without its traceback
        try:
            raise FromRay(inner)
        except FromRay:
            raise ValueError("boom")  # noqa: B904

    again = _raised(set_up)
    again.__traceback__ = None
    assert f"{plain_error.__code__.co_firstlineno + 1}, in plain_error" in headline(again)


class Trial:
    """As Tune makes one."""

    def __init__(self, storage: Any = "where") -> None:
        self._storage = storage

    @headlined
    def call(self, function: Callable[[], None]) -> None:
        function()


class Born:
    @headlined
    def __init__(self, storage: Any = None) -> None:
        plain_error()


def _ended_by(end: BaseException) -> Callable[[], None]:
    def step() -> None:
        with Boundary():
            raise end

    return step


@pytest.mark.fault(78)
def test_a_trial_saves_its_headline_and_keeps_its_error() -> None:
    error = _raised(lambda: Trial().call(of_several_lines))
    assert type(error) is ValueError
    assert failure_headline(_as_ray_has_it(error)) == headline(error)
    assert "rltune: " in "".join(error.__notes__)
    assert "rltune: " not in plain(_as_ray_has_it(error))
    assert _raised(lambda: Born(storage="where")).__notes__
    for alone in (lambda: Trial(None).call(plain_error), Born):
        assert not hasattr(_raised(alone), "__notes__"), "in a script of a user's"


@pytest.mark.fault(99)
@pytest.mark.parametrize(
    ("end", "words"), [(SystemExit(3), "SystemExit: 3"), (KeyboardInterrupt(), "KeyboardInterrupt")]
)
def test_a_call_of_exit_is_a_failure_that_says_so(end: BaseException, words: str) -> None:
    error = _raised(lambda: Trial().call(_ended_by(end)))
    assert type(error) is EnvironmentExit
    assert words in failure_headline(_as_ray_has_it(error))


@pytest.mark.fault(11)
@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("Worker unexpectedly exits with a connection error code 2. (1) by the OOM killer", "died"),
        ("Worker exits with an exit code 3.", "ended with exit code 3"),
        ("killed due to the node running low on memory", "ran out of memory"),
        ("The actor died because its node has died. Node Id: 12", "machine of the trial's process"),
    ],
)
def test_a_process_that_died_without_an_exception_has_a_headline(detail: str, words: str) -> None:
    text = f"The actor died unexpectedly before finishing this task.\n\tclass_name: PPO\n{detail}"
    assert words in failure_headline(text)
    assert failure_headline(text, "Crashed: it fell (in f, x.py:1)\nStack") == (
        "Crashed: it fell (in f, x.py:1)"
    )


def test_a_text_without_a_traceback_is_summarised_by_its_last_line() -> None:
    assert failure_headline("The node went away.\nnothing more is known") == "nothing more is known"
    assert failure_headline("") == "no traceback"


def test_frames_of_the_host_program_are_not_the_users(tmp_path: Any) -> None:
    site = tmp_path / "site-packages"
    for package in ("ray", "minigrid"):
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").write_text("def call(f): f()\n")
    (tmp_path / "mine.py").write_text("def step():\n    raise ValueError('boom')\n")
    code = (
        "import sys, traceback, ray, minigrid, mine\n"
        "from rltune.processes.tracebacks import headline\n"
        "def show(f):\n    try: f()\n    except Exception as error: print(headline(error))\n"
        "show(lambda: ray.call(mine.step))\n"
        "sys.argv = []; show(lambda: minigrid.call(None))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{site}:{tmp_path}:{':'.join(filter(None, sys.path))}"},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first == "ValueError: boom (mine.py:2, in step)"
    assert second.startswith("TypeError: 'NoneType' object is not callable (")
