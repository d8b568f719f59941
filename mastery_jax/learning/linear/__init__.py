"""Models that are linear in the features.

ridge     least squares with a quadratic penalty, in closed form
logistic  two or more classes with a quadratic penalty, by Newton's method
"""
