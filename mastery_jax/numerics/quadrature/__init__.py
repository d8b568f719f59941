"""What a function adds up to, and how sure that is.

report       what every rule of this room returns beside its estimate
monte_carlo  random and quasi-random points
"""
