"""Which tracer a parent has. OpenTelemetry's packages are looked for only when traces are wanted."""

from app.config import Config, ConfigError
from app.log import Log
from app.tracing.traces import NoTracer, Tracer


def tracer(config: Config, log: Log) -> Tracer:
    """Return the tracer that the settings ask for.

    Raises:
        ConfigError: traces are wanted, and the packages for them are not installed.
    """
    if not config.tracing:
        return NoTracer()
    try:
        from app.tracing.spans import Spans  # noqa: PLC0415  see above
    except ImportError as exc:
        raise ConfigError(
            "OTEL_EXPORTER_OTLP_ENDPOINT: OpenTelemetry is not installed: "
            "pip install --require-hashes -r requirements/tracing.txt"
        ) from exc
    return Spans(log)
