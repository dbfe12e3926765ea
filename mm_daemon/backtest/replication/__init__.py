"""Published results of the pricing models, computed again by simulation (MODELS 8). Seeded: the same call, the same
numbers. One experiment a module; `simulation` is what they share.
"""
