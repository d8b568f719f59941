"""What is hidden now, given everything seen so far.

linear_gaussian     the linear model, and paths drawn from it
kalman              its exact posterior, step by step, along a series, or many series at once
square_root         the same, carried by a factor of the covariance: for single precision
information         the same, carried by the inverse covariance: where nothing is known yet
rts                 the same given the whole series: Rauch-Tung-Striebel smoothing
fixed_lag           given what is seen up to some steps later
associative         filter and smoother in O(log time) parallel steps: accelerators, long series
expectation_maximization  the model itself, learned from a series
two_filter          smoothing from where nothing is known
factored            models and beliefs by square roots of their covariances
quadratic           what beliefs and likelihoods that may be flat share
observation         observations of which a part is missing
matrix              products and solves of any size: unrolled where small, LAPACK beyond
nonlinear           a model of any two functions, and paths drawn from it
extended            its posterior by linearization at the mean
iterated_extended   the same, linearized again where the observation leads
unscented           by sigma points that keep mean and covariance
cubature            by the 2n points of the spherical cubature rule
assumed_density     what Gaussian filters of nonlinear models share
sigma_points        points that carry a mean and a covariance through a function
particle            by weighted particles: bootstrap, or guided by a proposal
resampling          which particles live on: systematic, stratified, residual, multinomial
additive_noise      a nonlinear model for particles, and a proposal that looks at y
particle_smoother   paths drawn backwards through the particles
comparison          several filters on one series, side by side
"""
