"""First-order rules as white boxes: each is the formula of its paper, and equal to optax's.

adagrad           steps shrink with all squared gradients so far
adam              mean and mean square of the gradients, both unbiased
adamw             Adam, with the weights pulled to zero beside it
gradient_descent  straight against the gradient
leafwise          one formula applied to every leaf of a tree
lion              the sign of a mean gradient
momentum          a heavy ball
nadam             Adam that looks one step ahead
nesterov          a heavy ball that looks one step ahead
rmsprop           the gradient over its root mean square
"""
