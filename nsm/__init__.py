"""The Nitro Secure Module: its requests and replies as values, its documents as fields, its device file.

Rule of this room: everything but `device.py` computes bytes from values and values from bytes. Only `device.py`
may touch ctypes, fcntl or a file, and nothing here verifies a signature: inside the enclave the hypervisor that
answers /dev/nsm is the trust root, and outside of it `tytle_verifier` does the verifying with code of its own.

The API is that of aws/aws-nitro-enclaves-nsm-api (`src/api/mod.rs`), the device that of Linux
(`drivers/misc/nsm.c`, `include/uapi/linux/nsm.h`).
"""
