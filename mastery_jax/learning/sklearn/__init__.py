"""The estimators of this room as scikit-learn's.

estimators     the table: one line a class
generation     how a line becomes a class
base           what every estimator does with data
methods        scikit-learn's methods, for the functions that a module has
validation     weights, labels and words for faults
signatures     what a function says of its parameters
attributes     what a fitted estimator shows under scikit-learn's names
persistence    saving without pickle, and loading
"""
