"""The same host as a pod, for nodes with AWS's device plugin (aws/aws-nitro-enclaves-k8s-device-plugin)."""

from deploy import host
from deploy.plan import CPUS_PER_ENCLAVE, Enclave, Plan, Proxy
from deploy.template import fill

# The token file is the secret tytle-tokens; /tmp is the only place where the parent can write.
SETTINGS = ("BIND=0.0.0.0:5001", "TOKENS_FILE=/etc/tytle/tokens.toml", "STATE_DIR=/tmp")


def files(plan: Plan) -> dict[str, str]:
    """Return the manifests, and the Dockerfile of the image that runs an enclave, by name."""
    return {
        "tytle.yaml": manifests(plan),
        "Dockerfile": fill("kubernetes/Dockerfile", registry=plan.registry),
    }


def manifests(plan: Plan) -> str:
    """Return all manifests as one YAML file."""
    return fill(
        "kubernetes/tytle.yaml",
        env=plan.env,
        registry=plan.registry,
        settings="\n".join(_settings(plan)),
        allow_list=host.allow_list(plan).rstrip("\n"),
        hardening=_hardening(),
        proxies="\n".join(_proxy(plan, proxy) for proxy in plan.proxies),
        enclaves="\n".join(_enclave(plan, enclave) for enclave in plan.enclaves),
    )


def _settings(plan: Plan) -> list[str]:
    names = ",".join(service.name for service in plan.services)
    lines = (f"SERVICES={names}", *host.cid_settings(plan), *SETTINGS)
    return [f'{name}: "{value}"' for name, _, value in (line.partition("=") for line in lines)]


def _proxy(plan: Plan, proxy: Proxy) -> str:
    return fill(
        "kubernetes/proxy.yaml",
        registry=plan.registry,
        tag=plan.services[0].ecr_tag,  # any of the images: each has the program
        host=proxy.upstream.host,
        port=proxy.upstream.proxy_port,
        remote_port=proxy.remote_port,
        workers=proxy.workers,
        hardening=_hardening(),
    ).rstrip("\n")


def _enclave(plan: Plan, enclave: Enclave) -> str:
    return fill(
        "kubernetes/enclave.yaml",
        registry=plan.registry,
        tag=enclave.service.ecr_tag,
        service=enclave.service.name,
        name=enclave.name,
        cid=enclave.cid,
        memory=enclave.memory_mib,
        cpus=CPUS_PER_ENCLAVE,
        hardening=_hardening(),
    ).rstrip("\n")


def _hardening() -> str:
    return fill("kubernetes/hardening.yaml").rstrip("\n")
