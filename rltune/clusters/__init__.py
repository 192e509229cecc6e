"""A request carried to a cluster: files for Slurm, KubeRay and ``ray up``, and Ray's job API."""
