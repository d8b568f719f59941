"""What each feature adds to an answer: Shapley values, which sum to f(x) − E f.

tree_path_dependent  exact for trees, missing features by the trees' own covers; interactions
tree_interventional  exact for trees, missing features from a background
kernel               any model, by weighted least squares over coalitions
permutation          any model, by walks through features in both directions
linear               linear models, in closed form
gradient             smooth models, by gradients along straight lines
explanation          the attributions, and the gap that they leave
summary              importance over many rows, and one row in words
lanes                rows side by side, and sums over leaves of them
paths                leaves of trees with the conditions that lead to them
coalitions           sets of features, their weights, and answers with the others hidden
"""
