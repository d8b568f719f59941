"""Slopes: from values alone, and by the chain rule.

finite_difference  derivatives of any order of accuracy, with the step that suits the dtype
complex_step       derivatives to the last digit, of analytic functions
gradient_check     automatic differentiation beside finite differences, and the worst entry
backpropagation    the gradient of a network of two layers, by hand
"""
