"""How good predictions are: pure functions of predictions, truth and weights of rows.

classification  codes beside codes: accuracy, log loss, precision, recall, F1, confusion, Matthews
ranking         scores beside two classes: the ROC and precision-recall curves, and their areas
regression      numbers beside numbers: squared, absolute and pinball errors, shares of variance
calibration     probabilities beside what came: Brier score, reliability, calibration error
clustering      partitions: adjusted Rand, normalized mutual information, silhouette
rows            weights of rows, and the means under them
codes           codes that are wide enough, and sums by them that do not drift
"""
