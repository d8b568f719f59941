"""Densities of a chosen form, as near to a posterior as they come.

mean_field         a normal of independent numbers
full_rank          a normal with a whole covariance
low_rank           independent numbers, and a few directions in which they move together
secant_normal      a normal whose covariance L-BFGS has learned on its way
flow_guide         bijections between a normal and the posterior
elbo               how near: the bound on the evidence, its error and its gradient
fit                nearer, by any optimizer, on all rows or on batches of them
laplace            the normal at the mode
pathfinder         the best normal on the way to the mode
svgd               particles that climb, and repel one another
coordinate_ascent  linear regression whose factors are updated in closed form
numpyro_svi        a NumPyro model with one of its automatic guides
trust              whether it is near enough: Pareto k, and moments corrected by importance
"""
