"""What a treatment does, from data in which it was not always given by chance.

effect         what estimators take and return, and the standard error from the rows' weights
nuisance       models that are only needed on the way: any pair of fit and predict; cross-fitting
propensity     the probability of treatment; what is clipped and trimmed is counted
weighting      inverse probability weights: Horvitz-Thompson, Hajek, trimmed; overlap weights
regression     the outcome under each treatment, averaged; and a coefficient of least squares
doubly_robust  both together: right if either model is; cross-fitted
matching       nearest neighbors with replacement, bias-corrected
instrument     two-stage least squares, and the strength of the first stage
learners       effects that differ between units: S, T, X and DR learners
bayesian       the posterior of the average effect
bootstrap      any statistic under replicates of the weights
balance        how alike the arms are before and after weighting
refutation     placebo treatment, random common cause, subsets, and the E-value
synthetic      patients whose treatment effects are known
"""
