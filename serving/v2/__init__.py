"""The Open Inference Protocol, version 2, over HTTP: JSON and binary tensors.

about       health, metadata, configuration
body        from bytes to the JSON part and the binary part: compressed, limited
datatypes   FP32 and float32
infer       the routes that compute
repository  which versions there are; load and unload
statistics  what versions have done
target      which method of which version is meant
tensors     from both parts to arrays, and from arrays to an answer
types       what goes over the wire
"""
