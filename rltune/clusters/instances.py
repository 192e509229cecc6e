"""Machine types of the clouds: the smallest that has what a node shall have."""

from __future__ import annotations

from rltune.errors import BadInput

#: GPUs, CPUs and the name of each type, smaller ones first.
Types = list[tuple[int, int, str]]

_SIZES = {2: "", 4: "x", 8: "2x", 16: "4x", 32: "8x", 48: "12x", 64: "16x", 96: "24x", 192: "48x"}

#: Intel CPUs, and NVIDIA A10G.
AWS: Types = [(0, cpus, f"m7i.{size}large") for cpus, size in _SIZES.items()] + [
    *((1, cpus, f"g5.{_SIZES[cpus]}large") for cpus in (4, 8, 16, 32, 64)),
    *((4, 48, "g5.12xlarge"), (4, 96, "g5.24xlarge"), (8, 192, "g5.48xlarge")),
]
#: Intel CPUs, and NVIDIA L4.
GCP: Types = [(0, n, f"n2-standard-{n}") for n in (2, 4, 8, 16, 32, 48, 64, 80, 96, 128)] + [
    *((1, cpus, f"g2-standard-{cpus}") for cpus in (4, 8, 12, 16, 32)),
    *((2, 24, "g2-standard-24"), (4, 48, "g2-standard-48"), (8, 96, "g2-standard-96")),
]


def smallest(types: Types, cpus: int, gpus: int) -> tuple[int, int, str]:
    """The first type with enough of both.

    Raises:
        BadInput: there is none.
    """
    fit = [each for each in types if each[1] >= cpus and (each[0] >= gpus > 0 or each[0] == gpus)]
    if not fit:
        most = ", ".join(f"{c} CPUs with {g} GPU" for g, c, _ in types if g == max(types)[0])
        raise BadInput(
            f"no machine type here has {cpus} CPUs and {gpus} GPU; the largest has {most}: ask "
            "for more, smaller nodes"
        )
    return min(fit)
