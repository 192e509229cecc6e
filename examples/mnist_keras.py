"""Tunes a Keras classifier of MNIST with HyperOpt, until one is right in 99 of 100 cases.

    rltune tune mnist_keras.py:train --metric mean_accuracy --searcher hyperopt --trials 10 \
        --steps 12 --target 0.99 --space 'rate={log=[1e-4,1]}' --space 'hidden={int=[32,512]}' \
        --space 'activation={choice=["relu","tanh"]}' \
        --point '{rate=0.01,hidden=128,activation="relu"}'

`python mnist_keras.py` does the same. Needs `pip install 'rltune[keras,hyperopt]'`, and
scikit-learn where the images of MNIST cannot be fetched. Keras runs on torch, which rltune has,
unless KERAS_BACKEND names another backend.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras

import rltune
from rltune.integrations.keras import ReportCallback

SPACE = {
    "rate": {"log": [1e-4, 1.0]},
    "hidden": {"int": [32, 512]},
    "activation": {"choice": ["relu", "tanh"]},
}
EPOCHS = 12


def train(config: dict[str, Any]) -> None:
    """Trains a network of one hidden layer, an epoch a report."""
    keras.utils.set_random_seed(config["seed"])
    x, y = images()
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Flatten(),
            keras.layers.Dense(config["hidden"], activation=config["activation"]),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(config["rate"], momentum=0.9),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(
        x,
        y,
        batch_size=128,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[ReportCallback({"mean_accuracy": "accuracy"})],
    )


def images() -> tuple[np.ndarray, np.ndarray]:
    """MNIST where it can be fetched, otherwise the digits that scikit-learn has: 8 x 8 pixels."""
    try:
        (x, y), _ = keras.datasets.mnist.load_data()
        return x / 255, y
    except Exception as error:
        from sklearn.datasets import load_digits

        print(f"scikit-learn's digits instead of MNIST: {error}")
        digits = load_digits()
        return digits.images / 16, digits.target


if __name__ == "__main__":
    run = rltune.tune(
        train,
        SPACE,
        metric="mean_accuracy",
        searcher="hyperopt",
        points=[{"rate": 0.01, "hidden": 128, "activation": "relu"}],
        trials=10,
        steps=EPOCHS,
        target=0.99,
    )
    print(run.best)
