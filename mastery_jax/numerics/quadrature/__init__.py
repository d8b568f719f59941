"""What a function adds up to, and how sure that is.

report           what every rule of this room returns beside its estimate
newton_cotes     equal steps: trapezoid, Simpson, Boole, Romberg; measured samples
gauss_legendre   n nodes in an interval
gauss_laguerre   n nodes on a half-line, under a decay
gauss_hermite    the mean of a function of a normal variable
gauss_kronrod    adaptive: nodes where they are needed, derivatives through the search
refinement       the search of gauss_kronrod, for a pool of integrals
interval_table   what that search knows of every interval
variable_change  where nodes lie when an end is infinite
product_grid     a Gauss rule on every axis of a box or of a normal vector
sparse_grid      Smolyak's grids, for up to some twenty dimensions
choosing         which method suits an integrand, and why
energy           what an integral costs in joules, and the best that so many buy
monte_carlo      random and quasi-random points
"""
