"""The stack: an Auto Scaling group of hosts of one plan, and what it needs of AWS.

Measurements are read from the SSM parameters that `publish-pcrs` writes: there is one writer. KMS condition keys:
AWS KMS developer guide, "Condition keys for Nitro Enclaves".
"""

from deploy.plan import Plan
from deploy.template import fill


def stack(plan: Plan) -> str:
    """Return the template."""
    return fill(
        "cloudformation/stack.yaml",
        env=plan.env,
        services=", ".join(service.name for service in plan.services),
        instance_type=plan.instance_type,
        cpus=plan.cpus,
        pcr0_parameters=_each(plan, "pcr0-parameter", service=True, env=True, parameter=True),
        keys=_each(plan, "key", service=True, env=True),
        outputs=_each(plan, "output", service=True),
    )


def parameter(service_parameter: str, env: str) -> str:
    """Return the name of a manifest's SSM parameter in one deployment."""
    return service_parameter.replace("{env}", env)


def _each(plan: Plan, name: str, **wanted: bool) -> str:
    """Return one block of the template for each service."""
    blocks = []
    for service in plan.services:
        values = {
            "id": "".join(part.capitalize() for part in service.name.split("-")),
            "service": service.name,
            "env": plan.env,
            "parameter": parameter(service.pcr0_parameter, plan.env),
        }
        chosen = {key: value for key, value in values.items() if key == "id" or wanted.get(key)}
        blocks.append(fill(f"cloudformation/{name}.yaml", **chosen).rstrip("\n"))
    return "\n".join(blocks)
