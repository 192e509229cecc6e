"""A function that trains with Keras reports each epoch, and continues from its checkpoint."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from conftest import ROOT
from ray.train._internal import session as of_tune

from rltune.algorithms import tune_session
from rltune.integrations.keras import MODEL, ReportCallback
from rltune.tasks.session import Session, get_checkpoint, report

SNIPPET = re.search(
    r"<!-- ReportCallback -->\n```python\n(.*?)```",
    (ROOT / "docs/from-ray-tune.md").read_text(),
    re.DOTALL,
)

Train = Callable[[dict[str, Any]], None]


@pytest.fixture(autouse=True)
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune's functions report as in a trial of rltune's."""
    monkeypatch.setattr(of_tune, "_session", None)
    tune_session.answer(report, get_checkpoint)


def fitted(callback: ReportCallback, rate: float = 0.01, **options: Any) -> keras.Model:
    """A small classifier after three epochs."""
    keras.utils.set_random_seed(3)
    x = np.random.default_rng(0).normal(size=(32, 4))
    y = (x.sum(axis=1) > 0).astype(int)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(2, "softmax")]
    )
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    start = callback.initial_epoch
    how = {"shuffle": False, "verbose": 0, "epochs": 3, "initial_epoch": start, **options}
    model.fit(x, y, callbacks=[callback], **how)
    return model


def reports(train: Train, scratch: Path, checkpoint: Path | None = None) -> list[dict[str, Any]]:
    """What a function reports to its end."""
    session = Session(train, {}, scratch, checkpoint)
    found = []
    while (reported := session.next_report()) is not None:
        found.append(dict(reported.metrics))
    session.end()
    return found


@pytest.mark.parametrize(
    ("metrics", "names"),
    [
        (None, {"accuracy", "loss"}),
        ("loss", {"loss"}),
        (["loss", "accuracy"], {"loss", "accuracy"}),
        ({"mean_accuracy": "accuracy"}, {"mean_accuracy"}),
    ],
)
def test_each_epoch_is_a_report(metrics: Any, names: set[str], tmp_path: Path) -> None:
    rows = reports(lambda _: fitted(ReportCallback(metrics)), tmp_path / "scratch")
    assert [row.keys() for row in rows] == [names] * 3


def test_an_epoch_without_validation_leaves_its_metrics_out(tmp_path: Path) -> None:
    data = (np.zeros((2, 4)), np.zeros(2))

    def train(_: dict[str, Any]) -> None:
        callback = ReportCallback({"loss": "loss", "unseen": "val_loss"})
        fitted(callback, validation_data=data, validation_freq=2)

    rows = reports(train, tmp_path / "scratch")
    assert [set(row) for row in rows] == [{"loss"}, {"loss", "unseen"}, {"loss"}]


def test_a_metric_that_keras_does_not_log_is_named(tmp_path: Path) -> None:
    session = Session(lambda _: fitted(ReportCallback("acuracy")), {}, tmp_path / "scratch")
    with pytest.raises(ValueError, match=r"log of Keras 'acuracy'\. Did you mean 'accuracy'"):
        session.next_report()


def test_it_continues_exactly_and_at_its_own_learning_rate(tmp_path: Path) -> None:
    models: list[keras.Model] = []

    def train(rate: float = 0.01) -> Train:
        def function(_: dict[str, Any]) -> None:
            models.append(fitted(ReportCallback("loss", checkpoint=True), rate))

        return function

    whole = reports(train(), tmp_path / "whole")
    first = Session(train(), {}, tmp_path / "first")
    first.next_report()
    second = first.next_report()
    assert second is not None
    assert isinstance(second.checkpoint, Path)
    rest = reports(train(), tmp_path / "second", second.checkpoint)
    assert rest == whole[2:]
    for one, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    reports(train(rate=0.1), tmp_path / "clone", second.checkpoint)
    assert float(models[-1].optimizer.learning_rate) == pytest.approx(0.1)
    assert int(models[-1].optimizer.iterations) == 3
    loaded = keras.saving.load_model(second.checkpoint / MODEL)
    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.01)
    first.end()


def test_the_page_continues_where_it_stopped(tmp_path: Path) -> None:
    assert SNIPPET is not None
    ages: list[int] = []

    def train(_: dict[str, Any]) -> None:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        x, y = np.zeros((8, 4)), np.zeros(8)
        given = {"model": model, "x": x, "y": y, "EPOCHS": 3, "ReportCallback": ReportCallback}
        exec(SNIPPET[1], given)
        ages.append(given["callback"].initial_epoch)

    first = Session(train, {}, tmp_path / "first")
    reported = first.next_report()
    assert reported is not None
    assert isinstance(reported.checkpoint, Path)
    assert len(reports(train, tmp_path / "second", reported.checkpoint)) == 2
    assert ages == [1]
    first.end()


def test_a_model_without_weights_cannot_continue(tmp_path: Path) -> None:
    (tmp_path / "epochs.json").write_text("1")

    def train(_: dict[str, Any]) -> None:
        callback = ReportCallback(checkpoint=True)
        callback.set_model(keras.Sequential([keras.layers.Dense(2)]))
        callback.on_train_begin()

    session = Session(train, {}, tmp_path / "scratch", tmp_path)
    with pytest.raises(ValueError, match=r"begin it with keras\.Input"):
        session.next_report()


@pytest.mark.parametrize(
    ("missing", "fix"),
    [
        ("keras", r"No module named 'keras': pip install 'rltune[keras]'"),
        ("tensorflow", "pip install tensorflow, or set the environment variable KERAS_BACKEND"),
    ],
)
def test_a_missing_package_is_named_with_its_fix(
    missing: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Missing:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "keras":
                raise ModuleNotFoundError(name=missing)

    for name in ("keras", "rltune.integrations.keras"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match=re.escape(fix)):
        import_module("rltune.integrations.keras")
