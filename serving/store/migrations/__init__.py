"""How the tables came to be; ``mastery db upgrade`` takes the steps that are missing.

env       what Alembic runs
versions  the steps
"""
