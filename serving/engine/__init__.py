"""One version of a model: from checked rows to answers.

model     a version that is loaded, and its methods
field     one input of a method: from nested lists, or bytes, to an array
method    one method, compiled for some batch sizes, with its queue
packed    named arrays as few bytes
audit     what is measured at the start: seconds by rows, and sizes in which a row has one answer
batcher   rows of many requests through one program; nobody waits who need not
part      rows of one request on their way through a batch
hand      a thread for what is long
pace      how long batches take now
circuit   whether the batches of a program come back, and not as faults
tally     what a method has done since the server's start
compiles  how many programs were compiled for a request: none
trial     the first load of a version, in a process that may die of it
"""
