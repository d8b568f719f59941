"""Classical machine learning: ``fit(X, y) -> State``, ``predict(state, X)``.

linear  models that are linear in the features
"""
