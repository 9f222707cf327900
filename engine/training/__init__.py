"""Training: stages as data, one loop, exact resume."""

from engine.training.loop import TrainingError, train

__all__ = ["TrainingError", "train"]
