"""One file per question: its Config, its pure functions, its data.

classify     what is it: any classifier, or a multilayer perceptron
regress      how much of it: any regressor, or a multilayer perceptron
density      how likely is it: a coupling flow
posterior    what may the parameters be: NUTS
track        where is it now: a Kalman filter whose noise is learned
classifiers  what classify fits in one go
regressors   what regress fits in one go
blocks       what they share: scaling, a fit in one go, networks and their steps
"""
