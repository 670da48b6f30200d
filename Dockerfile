# digits serve in a container: docker build -t digits . && docker run -p 127.0.0.1:8000:8000 -e DIGITS_TOKEN=secret digits
# docs/service.md, "In a container", has more.

FROM python:3.13-slim AS build
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/digits && \
    /opt/digits/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt '.[serve,pdf,heic]' && \
    /opt/digits/bin/pip uninstall --yes pip && \
    find /opt/digits -type d '(' -name test -o -name tests ')' -prune -exec rm -r {} +

FROM python:3.13-slim
COPY --from=build /opt/digits /opt/digits
# The service writes nothing unless it keeps corrections: --corrections writes to /data/runs.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin digits && \
    install -d -o digits -g digits /data
ENV PATH=/opt/digits/bin:$PATH \
    DIGITS_HOST=0.0.0.0 \
    DIGITS_PORT=8000
USER 10001
WORKDIR /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"DIGITS_PORT\"]}/v2/health/ready', timeout=4)"]
ENTRYPOINT ["digits", "serve"]
