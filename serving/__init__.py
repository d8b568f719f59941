"""Exported models behind HTTP: a served model is a file, never code.

app       create_app: the routes, put together
main      one process that serves a folder of models until it is told to stop
settings  what a server is told at its start
client    the same routes from Python, typed, blocking or not
wire      what goes over the wire: the requests and the answers
errors    one shape for every refusal
docs      the OpenAPI pages, from local files
engine    one version of a model: checked inputs, compiled batch sizes, the queue
models    which versions of which models answer now, swapped in one assignment
access    who may ask what, and how much: keys, scopes, sessions, rates
predict   the guide's routes that compute
v2        the Open Inference Protocol: JSON and binary tensors
monitor   health, request ids, Prometheus metrics
"""
