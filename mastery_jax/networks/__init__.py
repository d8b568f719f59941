"""Networks as Flax modules, seen from outside as pure functions.

mlp       a stack of dense layers
training  one optimiser step, on optax
"""
