"""What is hidden now, given everything seen so far.

kalman  exact, for linear Gaussian models
rts     the same, given the whole series: Rauch-Tung-Striebel smoothing
"""
