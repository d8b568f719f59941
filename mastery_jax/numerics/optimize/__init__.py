"""Where a function is least, or zero, and under which constraints.

box                  bounds of variables
bracket              between which step sizes a good one lies
ending               which of several reasons a search ended for
gauss_newton         least squares of nearly linear residuals
implicit             derivatives of a solution, not of the search for it
lagrange             equality constraints and their multipliers
lbfgs                a few remembered steps in place of the Hessian; bounds
levenberg_marquardt  least squares of any residuals, and standard errors
line_search          how far to go: backtracking, strong Wolfe
multistart           many candidates, and L-BFGS from the best of them
newton               exact second derivatives, in a trust region
newton_raphson       a root of n equations
objective            what a function given to a solver must return
report               how a search ended: what every solver of this room returns beside its answer
trust_region         the best step of a quadratic model within a ball
"""
