"""Formulas of one variable or many.

activations  sigmoid, relu, softmax and their relatives
"""
