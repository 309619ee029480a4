# syntax=docker/dockerfile:1
# One image for run, web and worker; the command decides. It writes to /var/lib/newsletter and /tmp alone, so it
# runs with a read-only root. What stands between the two stages is the virtual environment and nothing else.
FROM python:3.13-slim AS build

WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/newsletter

# What is pinned comes first: a change of our own code then fetches nothing again.
COPY requirements.txt ./
RUN awk '/^(pip|setuptools)==/,!/\\$/' requirements.txt > first.txt \
    && /opt/newsletter/bin/pip install --require-hashes -r first.txt \
    && /opt/newsletter/bin/pip install --require-hashes --no-build-isolation -r requirements.txt

COPY pyproject.toml hatch_build.py wsgi.py README.md LICENSE THIRD_PARTY.md ./
COPY newsletter ./newsletter
COPY templates ./templates
COPY migrations ./migrations
RUN /opt/newsletter/bin/pip install --no-deps --no-index --no-build-isolation . \
    && /opt/newsletter/bin/python -m compileall -q /opt/newsletter/lib \
    && /opt/newsletter/bin/pip uninstall --yes --quiet hatchling editables setuptools pip

FROM python:3.13-slim

LABEL org.opencontainers.image.title="newsletter" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --system --gid 10001 newsletter \
    && useradd --system --uid 10001 --gid newsletter --no-create-home --home-dir /var/lib/newsletter newsletter \
    && install --directory --owner newsletter --group newsletter --mode 0700 /var/lib/newsletter
COPY --from=build /opt/newsletter /opt/newsletter

ENV PATH=/opt/newsletter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    NEWSLETTER_INSTANCE_PATH=/var/lib/newsletter
USER 10001:10001
WORKDIR /var/lib/newsletter
VOLUME /var/lib/newsletter
EXPOSE 8000
STOPSIGNAL SIGTERM

# For whatever serves pages; a worker has none, so compose.yaml switches it off there.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["newsletter"]
CMD ["web", "--host", "0.0.0.0"]
