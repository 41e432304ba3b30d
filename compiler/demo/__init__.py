"""The demo: PP-OCRv4 compiled, run on a picture, and compared with Paddle Inference.

Empty on purpose: :mod:`.weights` says which packages are missing, before :mod:`.run` imports them.
"""
