"""Where a function is least, or zero, and under which constraints.

admm                the elastic net, by splitting it in two
coordinate_descent  the elastic net, one weight at a time; paths of penalties, cross-validation
descent             any optax rule, until the gradient vanishes
kkt                 the conditions that end a quadratic program, solved and differentiated
landscapes          test functions with bounds and known minima
lasso               the elastic net as a problem: moments, penalties, duality gap
names               a name and its numbers, or the nearest name
optimizers          ten optimizers by name, on optax
quadratic_program   a quadratic function between linear bounds
report              how a search ended: what every solver of this room returns beside its answer
rules               first-order rules as white boxes
schedules           learning rates that change with the step
"""
