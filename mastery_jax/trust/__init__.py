"""Trust: why a model answers as it does.

permutation_importance  what each feature is worth to the score of a model
shap                    what each feature adds to an answer
"""
