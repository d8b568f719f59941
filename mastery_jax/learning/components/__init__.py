"""Few numbers in place of many: directions, factors, maps.

pca                     the directions of largest variance, exact
truncated_svd           the best approximation of low rank, without centering
randomized_svd          the same from products with few random directions, for large matrices
kernel_pca              principal components of features that only a kernel knows
singular                leading singular values and directions, and the rule for their signs
als                     ratings by factors and biases, users and items in turn
funk_svd                the same model, one rating after the other
implicit_als            factors of what users did where nobody rated
tsne                    a map on which near rows stay near
affinities              for tsne: nearest rows, probabilities of given perplexity, attraction
exact_repulsion         for tsne: the repulsion pair by pair
interpolated_repulsion  for tsne: the same on a grid, by Fourier transforms
biased_factors          for als and funk_svd: the model, its start and its loss
normal_equations        for als and implicit_als: many small least-squares problems at once
alternation             for als and implicit_als: turns until nothing is gained
rating_table            for all three: entries of a table, and the best items of a user
"""
