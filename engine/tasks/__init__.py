"""The tasks a stage may mix (``tasks = { asr = 1.0, "slot-filling" = 2.0 }``), one registry for all who ask.

====================  ==========================================================================================
``asr``               the transcript; nothing for a clip without speech
``dst``               transcript and dialogue state as JSON (paper 1)
``ast``               the translation
``slot-filling``      the slots asked for as JSON (paper 2)
``sit``, ``sqit``     a response to an instruction about the speech, to a spoken query (paper 2)
====================  ==========================================================================================
"""

from __future__ import annotations

from engine.config import TaskName
from engine.tasks.base import Answer, DataError, Example, IndependentTask, Task
from engine.tasks.instructions import FreeText, SlotFilling, Translation
from engine.tasks.speech import Recognition, StateTracking

__all__ = ["TASKS", "Answer", "DataError", "Example", "IndependentTask", "Task"]

_ALL = (Recognition(), StateTracking(), Translation(), SlotFilling(), FreeText("sit"), FreeText("sqit"))
TASKS: dict[TaskName, Task] = {task.name: task for task in _ALL}
