"""TensorBoard: curves over environment steps, a table of settings, and the champion's run."""

from rltune.callbacks.tensorboard.writer import TensorBoardWriter

__all__ = ["TensorBoardWriter"]
