"""The course: where the lessons are, how one runs, how its claims are judged, and its homework.

A lesson script begins with ``lesson = learn.begin("01_autograd")`` and ends with ``lesson.end()``. Homework: `homework`
is the form of an exercise, `work` the learner's folder, `checker` and `child` the two sides of a check, `swap` puts the
learner's code into the library, `devcheck` checks the exercises.
"""

from tinymm.learn.claims import proportion
from tinymm.learn.lesson import begin

__all__ = ["begin", "proportion"]
