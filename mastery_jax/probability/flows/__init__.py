"""Normalising flows: ``forward(params, x) -> (y, log_det)``, one point at a time.

planar           a ridge added along one direction; inverse by bisection
affine_coupling  half of the coordinates scales and shifts the other half
chain            several bijections in a row, and the density that they carry
"""
