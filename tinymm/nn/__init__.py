"""Layers: modules that hold parameters and call ops. Arguments, defaults, shapes and state_dict keys are torch's."""

from tinymm.nn import init
from tinymm.nn.activation import GELU, ReLU, Sigmoid, Tanh
from tinymm.nn.container import Identity, ModuleList, Sequential
from tinymm.nn.dropout import Dropout
from tinymm.nn.embedding import Embedding
from tinymm.nn.linear import Linear
from tinymm.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from tinymm.nn.module import SLOTS, Module, Parameter, using
from tinymm.nn.norm import LayerNorm

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "Dropout", "Embedding", "GELU", "Identity", "LayerNorm", "Linear",
           "MSELoss", "Module", "ModuleList", "Parameter", "ReLU", "SLOTS", "Sequential", "Sigmoid", "Tanh", "init",
           "using"]
