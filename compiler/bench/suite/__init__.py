"""A fixed set of models, each timed beside the other engines: ``paddle-tvm bench --suite``."""
