"""Groups of rows without labels.

kmeans             centers with the least summed squared distance: k-means++, Lloyd, restarts
lloyd              its steps: the nearest center, the mean of its rows
centering          rows about their mean, and a unit for their squares
seeding            where k-means starts: rows far from each other
gaussian_mixture   a density of several normal components, by expectation and maximization
normal_components  the densities of a mixture, and the likeliest components for given shares
dbscan             regions where rows lie densely, of any form, and the noise between them
"""
