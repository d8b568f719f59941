"""Trackers that others make, fed from our files' side; none of them can stop a run.

tracker      what a tracker is asked, and which there are
writer       one thread a tracker, a bounded queue, and what is said of a tracker that fails
replay       what is on disk, into a tracker, after the fact
tensorboard  event files, written without TensorBoard
mlflow       a tracking server, or a SQLite file of our own
wandb        Weights & Biases, offline unless the environment says otherwise
trackio      Trackio's database of this machine
"""
