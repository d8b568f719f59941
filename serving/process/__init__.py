"""From a command to processes that answer, and back to none.

check       what can be said before anything is bound
door        the address
heads       clients that never finish the head of a request
metrics     the metrics of all workers in one text
rust        granian, the other HTTP server
server      uvicorn, the HTTP server, and how it ends
supervisor  several workers behind one address, started again when they die
team        this process and its peers: ready together, reloaded together
worker      one process that answers
"""
