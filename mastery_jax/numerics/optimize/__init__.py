"""Where a function is least, or zero, and under which constraints.

box        bounds of variables
bracket    between which step sizes a good one lies
implicit   derivatives of a solution, not of the search for it
lbfgs      a few remembered steps in place of the Hessian; bounds
objective  what a function given to a solver must return
report     how a search ended: what every solver of this room returns beside its answer
"""
