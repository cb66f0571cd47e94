# The parent: app + wire + policy + services, and the packages of requirements/parent.txt. Nothing of it is trusted.
# --build-arg REQUIREMENTS=postgresql adds the driver for an archive in PostgreSQL.
# BASE is a Debian 12 with Python 3.11 and pip, by digest (images.lock): --build-arg BASE=...@sha256:...
ARG BASE
FROM ${BASE}
# Where wheels come from, and through which TLS root, is the builder's affair; what they are, the hashes say.
ARG PIP_INDEX_URL
ARG PIP_CERT
ARG REQUIREMENTS=parent
WORKDIR /opt/tytle
COPY requirements/${REQUIREMENTS}.txt requirements.txt
RUN python3 -m pip install --quiet --root-user-action ignore --target /opt/tytle/packages --require-hashes \
      --only-binary :all: --no-compile --no-cache-dir --requirement requirements.txt \
 && printf '/opt/tytle/packages\n' > /usr/local/lib/python3.11/dist-packages/tytle.pth
COPY app app
COPY wire wire
COPY policy policy
COPY services services
USER 1000
EXPOSE 5001
ENTRYPOINT ["/usr/bin/python3", "-m", "gunicorn", "--config", "app/gunicorn_conf.py", "app:create_app()"]
