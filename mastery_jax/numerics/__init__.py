"""Formulas of one variable or many.

activations  sigmoid, relu, softmax and their relatives
linalg       vectors and matrices, and how far a result of theirs can be trusted
calculus     slopes, from values alone and by the chain rule
optimize     where a function is least, or zero, and under which constraints
quadrature   what a function adds up to, and how sure that is
ode          where a state goes that knows its own slope
"""
