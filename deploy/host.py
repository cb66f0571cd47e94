"""What a host gets besides the code: units, allow-list, reservation of memory and CPUs, settings, and the scripts
that install it and replace it.

Sources: vsock_proxy/configs/vsock-proxy.yaml and src/main.rs, allocator/src/configuration.rs, bootstrap/allocator.yaml,
nitro-enclaves-allocator.service, all in aws/aws-nitro-enclaves-cli.
"""

from deploy.plan import CPUS_PER_ENCLAVE, Enclave, Plan, Proxy
from deploy.template import fill

UNITS = "etc/systemd/system"
INSTALLER, ROLLER = "install", "roll"


def files(plan: Plan) -> dict[str, str]:
    """Return the text of every file, by its path below the bundle's root: `etc/...` and the installer."""
    units = {
        **{f"tytle-proxy-{proxy.upstream.proxy_port}.service": _proxy(proxy) for proxy in plan.proxies},
        **{f"{_unit(enclave)}.service": _enclave(enclave) for enclave in plan.enclaves},
        "tytle-parent.service": fill("host/parent.service", hardening=_hardening()),
    }
    target = fill("host/tytle.target", units=" ".join(units))
    return {
        **{f"{UNITS}/{name}": text for name, text in {**units, "tytle.target": target}.items()},
        "etc/sysusers.d/tytle.conf": fill("host/sysusers.conf"),
        "etc/nitro_enclaves/allocator.yaml": allocator(plan),
        "etc/tytle/vsock-proxy.yaml": allow_list(plan),
        "etc/tytle/parent.env": parent_env(plan),
        INSTALLER: fill("host/install", cpus=plan.cpus),
        ROLLER: _roll(plan),
    }


def allow_list(plan: Plan) -> str:
    """Return what the proxies may connect to: the upstreams of the services, and nothing else."""
    targets = [f"- {{address: {proxy.upstream.host}, port: {proxy.remote_port}}}\n" for proxy in plan.proxies]
    return "allowlist:\n" + "".join(targets)


def allocator(plan: Plan) -> str:
    """Return the reservation, one entry for each enclave.

    One sum for several enclaves would be reserved in pages of 1 GiB, and the first enclave would take a whole one. The
    list needs the allocator of aws-nitro-enclaves-cli pull request 654 (2025), so a single enclave has the older form.
    """
    first, *others = [f"memory_mib: {enclave.memory_mib}\ncpu_count: {CPUS_PER_ENCLAVE}\n" for enclave in plan.enclaves]
    if not others:
        return f"---\n{first}"
    return "---\n" + "".join("- " + entry.replace("\ncpu_", "\n  cpu_") for entry in (first, *others))


def parent_env(plan: Plan) -> str:
    """Return the parent's settings that follow from the plan."""
    names = ",".join(service.name for service in plan.services)
    return fill("host/parent.env", services=names, cids="\n".join(cid_settings(plan)))


def cid_settings(plan: Plan) -> list[str]:
    """Return `NAME_CIDS=16,20` for each service: app/config.py."""
    return [
        f"{service.name.upper().replace('-', '_')}_CIDS=" + ",".join(str(enclave.cid) for enclave in plan.of(service))
        for service in plan.services
    ]


def _roll(plan: Plan) -> str:
    single = [service.name for service in plan.services if len(plan.of(service)) == 1]
    names = [f"{enclave.service.name}-{enclave.cid}" for enclave in plan.enclaves]
    return fill("host/roll", single=" ".join(single), enclaves=" ".join(names))


def _unit(enclave: Enclave) -> str:
    return f"tytle-enclave-{enclave.service.name}-{enclave.cid}"


def _proxy(proxy: Proxy) -> str:
    return fill(
        "host/proxy.service",
        host=proxy.upstream.host,
        port=proxy.upstream.proxy_port,
        remote_port=proxy.remote_port,
        workers=proxy.workers,
        hardening=_hardening(),
    )


def _enclave(enclave: Enclave) -> str:
    return fill(
        "host/enclave.service",
        service=enclave.service.name,
        name=enclave.name,
        cid=enclave.cid,
        memory=enclave.memory_mib,
        cpus=CPUS_PER_ENCLAVE,
        hardening=_hardening(),
    )


def _hardening() -> str:
    return fill("host/hardening").rstrip("\n")
