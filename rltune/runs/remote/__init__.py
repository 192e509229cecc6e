"""Runs in an object store (``s3://bucket/folder/run``), each with a working copy on this machine.

A sweep writes into the working copy as into any run folder, and a thread sends what is new. Every
other command reads a working copy that was fetched. See docs/clusters.md.
"""
