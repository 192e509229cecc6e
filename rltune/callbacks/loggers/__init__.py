"""Experiment trackers that show a sweep beside a team's other work: ``log="wandb,mlflow"``.

Each library runs in a process of its own, so that nothing it does can harm the sweep: not at its
import, not while it logs, not at its exit. ``callback`` turns events of a sweep into calls,
``process`` and ``child`` are the two ends of a tracker's process, and a module for each tracker has
its :class:`rltune.callbacks.loggers.base.Logger`.
"""
