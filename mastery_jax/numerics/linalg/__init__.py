"""Vectors and matrices, and how far a result of theirs can be trusted.

vectors          inner product, angle, length
matrices         product, transpose, solution, inverse, singular values
least_squares    the weights that leave the smallest residual, by Householder QR
hessenberg       the form that a QR iteration starts from, by reflections
qr_algorithm     all eigenpairs of a symmetric matrix, by shifted QR
francis          all eigenvalues of a real matrix, by double-shift QR
power_iteration  the eigenpairs of largest size, with deflation
transforms       rotation, scaling, shear, reflection, translation
toeplitz         convolution as a matrix, in one and two dimensions
scale            powers of two near a size, which change no digit
"""
