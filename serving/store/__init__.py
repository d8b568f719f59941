"""What was predicted, what was true, and how often both agreed.

log         what a request pays: a few microseconds, and never a wait
writer      the one thread that has the database
names       what a prediction is called
records     from what a request leaves to a row of the table
queries     what is asked of the tables: feedback, lists, accuracy, what is too old
tables      the tables
database    a database by its URL: opened, looked at, brought up to date
maintenance  what the command line does with a database
export      what is recorded as arrays in a file, to train from again
migrations  how the tables came to be, a step at a time
routes      the routes of feedback, of records and of live accuracy
collector   the metrics
"""
