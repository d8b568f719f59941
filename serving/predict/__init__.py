"""The guide's routes that compute.

simple  /predict, /predict/batch, /models/{model}/{method}
raw     the adapter that makes a typed route cheap: strict decoding, the queue, the answer
head    what a request's headers say of it
shadow  a version that is shown what others answer
"""
