"""Answers that are remembered: opt-in by model, for methods that give the same answer each time.

cache       what a server remembers, and what is being computed
remembered  one method whose answers are remembered, in place of the method
key         which questions are the same
memory      the last used answers, by their bytes
remote      answers in Redis, which may come and go
"""
