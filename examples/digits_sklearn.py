"""Tunes a scikit-learn classifier of handwritten digits. No integration is needed.

    rltune tune digits_sklearn.py:train --metric accuracy --trials 8 \
        --space 'learning_rate={log=[1e-3,1]}' --space 'depth={int=[1,4]}'

`python digits_sklearn.py` does the same. Needs scikit-learn.
"""

from __future__ import annotations

from typing import Any

from sklearn.datasets import load_digits
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import train_test_split

import rltune

SPACE = {"learning_rate": {"log": [1e-3, 1.0]}, "depth": {"int": [1, 4]}}
#: Trees that are added between two reports, and reports of a trial.
TREES, REPORTS = 2, 5


def train(config: dict[str, Any]) -> None:
    """Adds trees to an ensemble, and reports its accuracy each time."""
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, random_state=0)
    model = GradientBoostingClassifier(
        learning_rate=config["learning_rate"],
        max_depth=config["depth"],
        subsample=0.3,
        max_features="sqrt",
        warm_start=True,
        random_state=config["seed"] % 2**31,
    )
    for report in range(1, REPORTS + 1):
        model.set_params(n_estimators=TREES * report).fit(x, y)
        rltune.report({"accuracy": model.score(x_test, y_test)})


if __name__ == "__main__":
    run = rltune.tune(train, SPACE, metric="accuracy", trials=8)
    print(run.best)
