"""Metrics: how good are the answers? NumPy only; nothing here knows a Tensor."""
