"""Naive Bayes: features that are independent within a class, in closed form.

gaussian_nb     features that are normal within a class
multinomial_nb  counts, such as those of words
bernoulli_nb    features that are there or not
by_class        sums of rows by class, and Bayes' rule
"""
