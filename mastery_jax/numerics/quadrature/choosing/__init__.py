"""Which method suits an integrand, and why.

series        cosine coefficients, and how fast they fall
places        where an integrand jumps, bends or peaks, found by cutting cells
features      what it looks like on an interval
box_features  what it looks like over a box
plans         what each method would need on an interval, and the cheapest
box_plans     the same over a box
choice        a method with its options: an integral that can be compiled
chooser       the choice, its reason, and an integral by it
selector      a classifier that learns the choice from a family
"""
