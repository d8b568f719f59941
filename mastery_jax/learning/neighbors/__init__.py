"""Nearest neighbors: what the rows nearby are, and say.

knn_classifier  the vote of the nearest rows
knn_regressor   the mean of the nearest rows
search          the nearest rows, exactly, in bounded memory
"""
