"""What a server says of itself.

middleware  the outermost layer: request ids, and every answer counted and timed
metrics     Prometheus
health      alive, ready, and the metrics' route
"""
