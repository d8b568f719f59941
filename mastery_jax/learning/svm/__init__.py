"""Support vector machines: the widest margin, in the features or behind a kernel.

svm_classifier  two or more classes, one against one, with probabilities if asked for
svm_regressor   a tube of width ε about the targets
linear_svm      classes apart by a plane, squared hinge loss, in the primal
dual            the quadratic program of all kernels, by pairs of coefficients
pairs           one against one: each pair's problem cut out of the kernel of all rows
coupling        probabilities of classes from the decisions of pairs
similarity      kernels of rows, and the width that suits their spread
"""
