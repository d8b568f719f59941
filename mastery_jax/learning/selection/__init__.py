"""Choosing among models by rows that they have not seen: folds, searches and curves in one program.

splits      folds as masks of rows: in order or at random, by class, by group, in time
validation  cross-validation: the score of one estimator on every fold
grid_search the best of many hyperparameters, and the model that it gives on all rows
halving     the same by rounds: the better part of the candidates go on, with more rows
nested      what a search itself is worth on rows that it has not seen
curves      scores by the number of rows, and by one hyperparameter
evaluation  one fit and its two scores, for every candidate and every fold
"""
