"""Where a state goes that knows its own slope: y' = f(t, y).

runge_kutta  one explicit step: euler, midpoint, rk4
fixed_step   equal steps between given times
adaptive     steps as long as a tolerance allows: the march that the next four share
trajectory   states at given times out of one march, and their slopes in three ways
sensitivity  the continuous adjoint
dopri5       Dormand and Prince's pair of order 5, for what is not stiff
rodas4       a Rosenbrock method of order 4, for what is stiff
dense        the solution at any time, from one march
event        the march that stops where a function of the state crosses zero
"""
