"""Everything that runs this on EC2 or EKS, rendered from `services/*.toml`: `python -m deploy`.

Rule of this room: the standard library and `policy`, nothing else; what is rendered follows from the arguments alone,
and the same arguments give the same bytes. No hash, address or secret is written here: measurements come from the
images' `measurements.json`, the rest are parameters of the stack. `templates/` holds the files as they will be, with
`<<name>>` where a value goes. `publish.py` alone speaks to AWS, through boto3. `supervise.py` is no part of the tools:
it is the program that keeps one enclave running on a host, copied there as it is, and imports nothing of ours.
"""
