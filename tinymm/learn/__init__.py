"""The course: where the lessons are, how one runs, and how its claims are judged.

A lesson script begins with ``lesson = learn.begin("01_autograd")`` and ends with ``lesson.end()``.
"""

from tinymm.learn.claims import proportion
from tinymm.learn.lesson import begin

__all__ = ["begin", "proportion"]
