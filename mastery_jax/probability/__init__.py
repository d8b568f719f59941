"""Densities and what is built of them.

distributions        densities, quantiles, samples and moments of the common families
families             what each of those families takes, and what is computed here
densities            densities and both tails of continuous families, with all their digits
counts               probabilities, quantiles and draws of counts, exact at probability 0
quantiles            inverses of distribution functions, to the last bit
incomplete           the incomplete gamma and beta function, both tails, at any size of shapes
stirling             factorials and powers by the saddle point
information          entropy, divergences, mutual information of tables; between normals
ksg                  mutual information of continuous variables, from nearest neighbors
bayes                Bayes' rule over a table of hypotheses, one observation or many
conjugate            priors that stay in their family, and what the next observation follows
glm                  generalized linear models by penalized Newton
reweighting          the Newton search under them
maximum_likelihood   the likeliest parameters, and their standard errors
flows                bijections with a tractable Jacobian, and the densities they carry
gaussian_process     distributions over functions, and what they say after some values were seen
bayesian_quadrature  the belief about an integral that a few values of the integrand leave
metrics              how good predictions are: classes, rankings, numbers, probabilities
"""
