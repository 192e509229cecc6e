"""What trains: arrays in, arrays out. Numpy, torch and gymnasium's spaces; no Ray.

Nothing here imports another room of rltune, so that it can be used, and tested, alone.
"""
