"""Who may ask what, and how much.

terms    what a server is told of access, and who it is open to at its start
keys     the file of keys: made, listed, removed; a key itself is kept nowhere
ring     the keys of the file in memory, looked up by digest, read again when the file changes
table    which scope each route asks for
bucket   a rate with a burst, in two numbers
shared   a bucket that all workers of a server take from
refusal  why a request is refused before it is read
guard    who asks: by a key, or by a session
bodies   the bytes of all bodies that are under way
gate     the layer that refuses before anything is read
page     the form for a key that a browser gets in place of the documents
session  a browser's key for a while: a signed cookie
login    the routes that begin and end a session
address  where a request comes from, through the proxies that are trusted
"""
