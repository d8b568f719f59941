"""Trackers that others make, fed from our files' side; none of them can stop a run."""
