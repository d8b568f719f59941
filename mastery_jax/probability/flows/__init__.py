"""Normalising flows: ``forward(params, x) -> (y, log_det)``, one point at a time.

planar             a ridge added along one direction; inverse by bisection
radial             points move away from a center, or towards it; exact both ways
sylvester          several ridges along orthogonal directions; inverse by bisections
affine_coupling    half of the coordinates scales and shifts the other half
spline_coupling    half of the coordinates bends the other half by splines
autoregressive     every coordinate is moved by those before it: MAF, and IAF inverted
continuous         a point follows a field; trace exact or by probes
spline             every coordinate bent by a spline of its own
permutation        the coordinates in another order, fixed or random
linear             all coordinates mixed by LU factors
inverted           any bijection the other way round
base               where a flow begins: normal, Student t, a box
chain              several bijections in a row, and the density that they carry
fit                parameters by maximum likelihood, or by the reverse divergence
numpyro_transform  a chain as a transform of NumPyro
frozen             which numbers of a flow are trained
conditioner        the network of a layer, and its masks
training           the two searches of fit
ridge              what planar and Sylvester flows share
"""
