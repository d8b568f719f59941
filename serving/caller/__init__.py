"""The clients, and what both share: everything but the socket.

blocking  the client whose calls wait for their answers
awaiting  the client whose calls are awaited
ask       one request, and how its answer is read; the one error
bounded   a deadline for all that a blocking client does at its sockets
patience  how long, and how often, a request is sent
plans     the calls of the clients, as plans of requests
tensors   NumPy arrays as binary tensors, and back
"""
