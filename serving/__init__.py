"""Exported models behind HTTP: a served model is a file, never code.

app       create_app: the routes, put together
main      processes that serve a folder of models until they are told to stop
settings  what a server is told at its start
client    the same routes from Python, typed, blocking or not
caller    both clients, and what they share: plans of requests, retries, binary tensors
wire      what goes over the wire: the requests and the answers
errors    one shape for every refusal
docs      the OpenAPI pages, from local files
engine    one version of a model: checked inputs, compiled batch sizes, the queue
models    which versions of which models answer now, swapped in one assignment
access    who may ask what, and how much: keys, scopes, sessions, rates
predict   the guide's routes that compute
store     the record of predictions, feedback, live accuracy
cache     answers that are remembered
v2        the Open Inference Protocol: JSON and binary tensors
process   the address, the HTTP server, workers and their supervisor
monitor   health, request ids, Prometheus metrics, logs, traces
drift     whether inputs and predictions still look as they did
"""
