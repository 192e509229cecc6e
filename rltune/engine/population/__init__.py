"""A population of equal networks trained as one batch of stacked tensors, in torch alone.

Every tensor has the members as its first axis, and every hyperparameter is one number a member.
Nothing here knows RLlib: :mod:`rltune.algorithms` builds members from its networks and configs.
"""
