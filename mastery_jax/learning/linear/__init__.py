"""Models that are linear in the features.

linear_regression least squares by QR, with its rank
linear_descent    the same optimum step by step, in the open
ridge             least squares with a quadratic penalty, in closed form
elastic_net       absolute and quadratic penalties: the LASSO, and its path
huber             squares near, absolute values far: outliers pull with a bounded force
bayesian_ridge    the penalty and the noise that make the data most likely; error bars
logistic          two or more classes with quadratic or absolute penalties, by Newton's method
log_loss          what logistic minimizes: value, slope and curvature
softmax_newton    its minimum with a quadratic penalty
softmax_lasso     its minimum with an absolute penalty
rows              what a row counts for, and centered data
"""
