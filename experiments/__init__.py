"""One file per question: its Config, its pure functions, its data.

classify   what is it: logistic regression or a multilayer perceptron
regress    how much of it: ridge regression or a multilayer perceptron
density    how likely is it: a coupling flow
posterior  what may the parameters be: NUTS
track      where is it now: a Kalman filter whose noise is learned
blocks     what those that learn by gradients share
"""
