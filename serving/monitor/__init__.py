"""What a server says of itself.

middleware  the outermost layer: request ids, and every answer counted and timed
access      the lines of requests in the log: those that failed or were slow, not each one
metrics     Prometheus
health      alive, ready, and the metrics' route
logs        one form for every line of the log, JSON or text, written by a thread
tracing     whether requests are traced
spans       OpenTelemetry: a span a request, and in it those of the queue and the computation
"""
