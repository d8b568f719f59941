"""The guide's routes that compute.

simple  /predict, /predict/batch, /models/{model}/{method}
raw     the adapter that makes a typed route cheap: strict decoding, the queue, the answer
head    what a request's headers say of it
patience  a clock that is started only where there is something to wait for
shortcut  the routes of one row, of rows and of the protocol, past the router
pieces  arrays as JSON, a piece at a time
bodiless  HEAD, answered as GET without the body
shadow  a version that is shown what others answer
"""
