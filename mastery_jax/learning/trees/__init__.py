"""Trees: one engine that bins the features, and grows by histograms of whole numbers.

tree_classifier      one tree for classes
tree_regressor       one tree for numbers
forest_classifier    random forest and extra trees for classes, out of bag
forest_regressor     random forest and extra trees for numbers, out of bag
boosting_classifier  gradient boosting for classes, stopped by rows held out
boosting_regressor   gradient boosting for the mean or a quantile
adaboost             trees that attend to what was got wrong

ensemble             the form that all of them have: trees as arrays, and the sum of their leaves
imported             trees of scikit-learn, XGBoost and LightGBM in that form
imported_sklearn     what reads scikit-learn's
imported_nodes       what lays nodes out

binning              features cut into bins
histograms           what lies in each bin, in whole numbers
splitting            the best split of a node
gains                what a split is worth
categories           splits by sets of codes, found in the order of their means
monotone             bounds of what nodes may say, where answers must rise or fall
drawing              features and thresholds of nodes, drawn
grower               one tree, a queue of nodes
forest               many trees on rows drawn anew; what both forests share
boosting             trees down the slope of a loss; what both boosters share
losses               what boosting descends
soundness            what is refused, and what is answered with NaN
"""
