"""Where a function is least, or zero, and under which constraints.

report  how a search ended: what every solver of this room returns beside its answer
"""
