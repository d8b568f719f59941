"""Where a function is least, or zero, and under which constraints.

admm                least squares with an L1 penalty, by splitting it in two
coordinate_descent  the same and the elastic net, one weight at a time; whole paths of penalties
descent             any optax rule, until the gradient vanishes
landscapes          test functions with bounds and known minima
names               a name and its numbers, or the nearest name
optimizers          ten optimizers by name, on optax
quadratic_program   a quadratic function between linear bounds
report              how a search ended: what every solver of this room returns beside its answer
rules               first-order rules as white boxes
schedules           learning rates that change with the step
"""
