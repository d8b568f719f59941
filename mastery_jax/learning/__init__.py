"""Classical machine learning: ``fit(X, y) -> State``, ``predict(state, X)``.

linear         models that are linear in the features
svm            the widest margin, in the features or behind a kernel
trees          trees, forests, boosting, by one engine
neighbors      the nearest rows, exactly, and what they say
naive_bayes    features that are independent within a class
clustering     groups of rows without labels
components     few numbers in place of many: directions, factors, maps
class_weights  what a row counts for, by its class
selection      folds, grids and curves in one program
sklearn        every estimator as scikit-learn's
"""
