"""Trust: why a model answers as it does.

shap  what each feature adds to an answer
"""
