"""Densities and what is built of them.

bayes               Bayes' rule over a table of hypotheses, one observation or many
conjugate           priors that stay in their family, and what the next observation follows
counts              probabilities, quantiles and draws of counts, exact at probability 0
distributions       densities, quantiles, samples and moments of the common families
families            what each of those families takes, and what is computed here
flows               bijections with a tractable Jacobian, and the densities they carry
information         entropy, divergences, mutual information of tables; between normals
ksg                 mutual information of continuous variables, from nearest neighbors
maximum_likelihood  the likeliest parameters, and their standard errors
metrics             how good predictions are: accuracy, log loss, rmse, r2
quantiles           inverses of distribution functions, to the last bit
flows                bijections with a tractable Jacobian, and the densities they carry
gaussian_process     distributions over functions, and what they say after some values were seen
bayesian_quadrature  the belief about an integral that a few values of the integrand leave
metrics              how good predictions are: accuracy, log loss, rmse, r2
"""
