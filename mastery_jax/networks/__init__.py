"""Networks as Flax modules, seen from outside as pure functions.

mlp       a stack of dense layers
dropout   random zeros, at a rate that can be swept
training  one optimizer step, on optax
"""
