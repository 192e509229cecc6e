"""Tunes a PyTorch classifier of handwritten digits while it trains: a population that exploits.

    rltune tune digits_torch.py:train --metric accuracy --scheduler pbt --trials 4 --steps 10 \
        --space 'lr={log=[1e-4,1]}'

`python digits_torch.py` does the same. Needs scikit-learn for the digits.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import rltune

SPACE = {"lr": {"log": [1e-4, 1.0]}}


def train(config: dict[str, Any]) -> None:
    """Trains without end, an epoch a report, each with a checkpoint: `steps` is what ends it."""
    torch.manual_seed(config["seed"])
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = map(torch.as_tensor, train_test_split(x / 16, y, random_state=0))
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).double()
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    if (folder := rltune.get_checkpoint()) is not None:  # its own, or after an exploit a donor's
        state = torch.load(folder / "state.pt")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    for group in optimizer.param_groups:  # a checkpoint has the learning rate that wrote it
        group["lr"] = config["lr"]
    while True:
        for batch in torch.randperm(len(x)).split(64):
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = (model(x_test).argmax(1) == y_test).double().mean()
        with tempfile.TemporaryDirectory() as folder:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state, Path(folder) / "state.pt")
            rltune.report({"accuracy": accuracy, "loss": loss.item()}, checkpoint=folder)


if __name__ == "__main__":
    run = rltune.tune(train, SPACE, metric="accuracy", scheduler="pbt", trials=4, steps=10)
    print(run.best)
