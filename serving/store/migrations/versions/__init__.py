"""The steps, in their order.

r0001_predictions  the tables of predictions and of feedback
"""
