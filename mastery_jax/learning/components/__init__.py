"""Few numbers in place of many: directions, factors, maps.

pca                     the directions of largest variance, exact
truncated_svd           the best approximation of low rank, without centering
randomized_svd          the same from products with few random directions, for large matrices
kernel_pca              principal components of features that only a kernel knows
singular                leading singular values and directions, and the rule for their signs
tsne                    a map on which near rows stay near
affinities              for tsne: nearest rows, probabilities of given perplexity, attraction
exact_repulsion         for tsne: the repulsion pair by pair
interpolated_repulsion  for tsne: the same on a grid, by Fourier transforms
"""
