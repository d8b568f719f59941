"""Exported models behind HTTP: a served model is a file, never code.

app       create_app: the routes, put together
main      one process that serves a folder of models until it is told to stop
settings  what a server is told at its start
client    the same routes from Python, typed, blocking or not
wire      what goes over the wire: the requests and the answers
errors    one shape for every refusal
raw       the adapter that makes a typed route cheap
model     one loaded version of a model: checked inputs, compiled buckets
registry  which version of which model answers now, swapped in one assignment
predict   the routes that compute
catalog   the routes that list and reload the models
monitor   health, request ids, Prometheus metrics
compiles  how many programs were compiled for a request: none
docs      the OpenAPI pages, from local files
"""
