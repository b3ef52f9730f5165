"""Optimizers with torch's arguments and defaults, learning-rate schedules, gradient clipping."""

from tinymm.optim import schedule
from tinymm.optim.adagrad import Adagrad, RMSprop
from tinymm.optim.adam import Adam, AdamW
from tinymm.optim.clip import clip_grad_norm_, clip_grad_value_
from tinymm.optim.optimizer import Optimizer
from tinymm.optim.sgd import SGD

__all__ = ["Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "SGD", "clip_grad_norm_", "clip_grad_value_",
           "schedule"]
