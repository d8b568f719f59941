"""Where a function is least, or zero, and under which constraints.

report               how a search ended: what every solver of this room returns beside its answer
rules                first-order rules as white boxes
optimizers           ten optimizers by name, on optax
schedules            learning rates that change with the step
names                a name and its numbers, or the nearest name
descent              any optax rule, until the gradient vanishes
landscapes           test functions with bounds and known minima
line_search          how far to go: backtracking, strong Wolfe
lbfgs                a few remembered steps in place of the Hessian; bounds
multistart           L-BFGS from the best of many candidates
newton               exact second derivatives, in a trust region
newton_raphson       a root of n equations
gauss_newton         least squares of nearly linear residuals
levenberg_marquardt  least squares of any residuals, and standard errors
lagrange             equality constraints and their multipliers
quadratic_program    a quadratic function between linear bounds
kkt                  the conditions that end a quadratic program, solved and differentiated
lasso                the elastic net as a problem: moments, penalties, duality gap
coordinate_descent   the elastic net, one weight at a time; paths of penalties, cross-validation
admm                 the elastic net, by splitting it in two
implicit             derivatives of a solution, not of the search for it
trust_region         the best step of a quadratic model within a ball
box                  bounds of variables
bracket              between which step sizes a good one lies
ending               which of several reasons a search ended for
objective            what a function given to a solver must return
"""
