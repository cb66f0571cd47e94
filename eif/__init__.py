"""Enclave images: pack a directory tree, build an EIF, and measure one as the Nitro hypervisor does.

Rule of this room: standard library only, and nothing but files is touched; the same inputs give the same bytes on
every machine. Files are read in `__main__.py`, `tree.py` and `kernel.py`; the rest computes. `init.py` is no part of
the tools: it is the first program inside an enclave, copied into the image as /init, and imports nothing of ours.
The scripts beside it run other programs: `base` debootstrap, `image` buildah, `verify` both, twice.

The format is AWS's, aws/aws-nitro-enclaves-image-format: `src/defs/mod.rs` for the layout, `src/utils/mod.rs`
(`EifBuilder`, `get_pcrs`) for what is measured in which order.
"""
