"""Integrals from random and quasi-random points, each with its standard error.

quasi            randomized lattice, Sobol or Halton points: where to begin
plain            independent uniform points
antithetic       points and their mirror images
stratified       two points in every cell of a grid
control_variates functions of known integral take their share of the variance away
importance       points from a proposal; effective size and tail of the weights
pareto_tail      how heavy the tail of some weights is
vegas            an adaptive map and adaptive strata (VEGAS+)
lattice          a rank-1 lattice with a random shift
sobol            Sobol's sequence, plain and scrambled
joe_kuo          its direction numbers
halton           Halton's sequence, plain and scrambled
genz             six families of integrands whose integrals are known
counter_hash     uniform numbers by threefry, or by a faster hash
unit_cube        any box as an image of the unit cube
moments          mean and standard error, chunk by chunk
chunks           sums in bounded memory, the same on any mesh
"""
