"""Whether what is asked, and what is answered, still looks as it did when the model was made.

measures    PSI and KS of counts in bins, and what chance alone makes of them
columns     counts of the columns of one input, over a window of rows
predictions counts of what was predicted, against the first of it
seen        what a version was shown, in counts, which those of other workers are added to
watch       one version: it is shown every batch, and says what has shifted
report      the route, and what it answers
exposition  the Prometheus metrics
"""
