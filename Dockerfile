# The parent: app + wire + policy + services, and the packages of requirements/parent.txt. Nothing of it is trusted.
# BASE is a Debian-based Python 3.11 image, given by digest: --build-arg BASE=...@sha256:...
ARG BASE
FROM ${BASE}
WORKDIR /opt/tytle
COPY requirements/parent.txt requirements/parent.txt
RUN python3 -m pip install --no-cache-dir --no-compile --require-hashes --requirement requirements/parent.txt
COPY app app
COPY wire wire
COPY policy policy
COPY services services
USER 1000
EXPOSE 5001
ENTRYPOINT ["/usr/bin/env", "python3", "-m", "gunicorn", "--config", "app/gunicorn_conf.py", "app:create_app()"]
