"""What is hidden now, given everything seen so far.

linear_gaussian  the model, and paths drawn from it
kalman           its exact posterior, step by step, along a series, or many series at once
rts              the same given the whole series: Rauch-Tung-Striebel smoothing
matrix           products and solves of any size: unrolled where small, LAPACK beyond
"""
