# Sluice, server and client in one image: docker build --tag sluice:0.1.0 --build-arg SHA="$(git rev-parse HEAD)" .
# For x86-64 and 64-bit ARM: all that is installed comes as wheels for both, so nothing is compiled.
ARG PYTHON=3.13
FROM python:${PYTHON}-slim AS build

WORKDIR /src
COPY requirements.txt ./
RUN python -m venv /opt/sluice \
    && /opt/sluice/bin/pip install --no-cache-dir --disable-pip-version-check --requirement requirements.txt
COPY setup.py pyproject.toml README.md ./
COPY appliance appliance
COPY web web
ARG SHA=unknown
RUN echo "${SHA}" >appliance/config/build_sha.txt \
    && /opt/sluice/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps . \
    && /opt/sluice/bin/python -m compileall -q /opt/sluice/lib \
    && /opt/sluice/bin/pip uninstall --yes --quiet pip
COPY scripts/healthcheck /opt/sluice/bin/healthcheck


FROM python:${PYTHON}-slim

RUN groupadd --gid 65532 sluice \
    && useradd --uid 65532 --gid sluice --no-create-home --home-dir /var/lib/sluice \
        --shell /usr/sbin/nologin sluice \
    && install --directory --owner sluice --group sluice --mode 0700 /var/lib/sluice
COPY --from=build /opt/sluice /opt/sluice

ENV PATH=/opt/sluice/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    STATE_DIRECTORY=/var/lib/sluice
USER 65532:65532
VOLUME /var/lib/sluice
# Visitors by HTTP, HTTPS; clients. Ports that clients open are published as they are named.
EXPOSE 8000 443 8123
# Well is a server that answers, and a client that is connected.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["/opt/sluice/bin/healthcheck"]
ENTRYPOINT ["/opt/sluice/bin/sluice"]
CMD ["--help"]
