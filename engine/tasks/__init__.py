"""The tasks a stage may mix (``tasks = { asr = 1.0, "slot-filling" = 2.0 }``), one registry for all who ask.

====================  ==========================================================================================
``asr``               the transcript
``dst``               transcript and dialogue state as JSON (paper 1)
====================  ==========================================================================================
"""

from __future__ import annotations

from engine.config import TaskName
from engine.tasks.base import Answer, DataError, Example, IndependentTask, Task
from engine.tasks.speech import Recognition, StateTracking

__all__ = ["TASKS", "Answer", "DataError", "Example", "IndependentTask", "Task"]

TASKS: dict[TaskName, Task] = {task.name: task for task in (Recognition(), StateTracking())}
