"""What every algorithm stands on.

check       shapes and dtypes written in annotations, made true while tracing
loop        the two loops of the house: scan and until
status      how an iteration ended, as a number that lives inside a program
functional  a Flax module as two pure functions over plain dicts
partials    functions handed on, with options that jax cannot trace
ordering    floats sorted as integers, which XLA does faster
smallmat    Cholesky factors and solves of tiny matrices, without LAPACK
"""
