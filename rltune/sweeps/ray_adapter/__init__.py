"""The one door to what Ray and Tune keep private; ray 2.60.

Everything that Ray does not document is used here alone, and each use says why it is needed. Where
Ray changes, this package changes.
"""
