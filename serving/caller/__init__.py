"""What both clients share: everything but the socket.

ask       one request, and how its answer is read; the one error
patience  how long, and how often, a request is sent
plans     the calls of the clients, as plans of requests
tensors   NumPy arrays as binary tensors, and back
"""
