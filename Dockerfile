# The daemon as an image: docker build -t mm-daemon . (deploy/docs/operations.md says how to run it).
# For a build that is the same tomorrow, name the base by digest: --build-arg BASE=docker.io/library/python@sha256:...
ARG BASE=docker.io/library/python:3.11.9-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY requirements-run.lock ./
RUN python -m venv /opt/mm-daemon/.venv && \
    /opt/mm-daemon/.venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-run.lock
COPY pyproject.toml README.md LICENSE ./
COPY mm_daemon ./mm_daemon
COPY connectors ./connectors
RUN /opt/mm-daemon/.venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . && \
    /opt/mm-daemon/.venv/bin/python -m compileall -q /opt/mm-daemon && \
    install -d -o 10001 -g 10001 -m 0700 /state

FROM ${BASE}
COPY --from=build /opt/mm-daemon /opt/mm-daemon
COPY --from=build --chown=10001:10001 /state /var/lib/mm-daemon
COPY deploy/examples/container.yaml /etc/mm-daemon/config.yaml
ENV PATH=/opt/mm-daemon/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPENBLAS_NUM_THREADS=1
USER 10001:10001
WORKDIR /var/lib/mm-daemon
VOLUME /var/lib/mm-daemon
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9464/healthz', timeout=2).close()"]
ENTRYPOINT ["mm-daemon"]
CMD ["run", "--no-watch", "--config", "/etc/mm-daemon/config.yaml"]
