"""Training: stages as data, one loop, exact resume."""

from engine.training.checks import TrainingError
from engine.training.loop import train

__all__ = ["TrainingError", "train"]
