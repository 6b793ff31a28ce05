# One image, three commands: `api`, `worker`, `beat`; `serve` runs all of them over a folder.
FROM python:3.11-slim AS built

WORKDIR /srv
COPY requirements/runtime.lock requirements/
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/runtime.lock
COPY . .
RUN /venv/bin/pip install --no-cache-dir --no-deps . \
 && /venv/bin/python -m ingest.embedding.fetch --into /models

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home carrel \
 && install -d -o carrel /data
COPY --from=built /venv /venv
COPY --from=built /models /models
# One thread a library call: concurrency comes from processes.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
    CARREL_HOST=0.0.0.0 CARREL_DATA_DIR=/data CARREL_EMBEDDING_MODELS_DIR=/models
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Of the API, and of `serve`; workers and beat listen to nobody, and whoever runs them by themselves turns this off.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["python", "-c", "import os, urllib.request as u; \
u.urlopen(f'http://127.0.0.1:{os.environ.get(\"CARREL_PORT\", \"8000\")}/readyz?for=search', timeout=5)"]
# A worker is asked to end, and may finish its step.
STOPSIGNAL SIGTERM
ENTRYPOINT ["carrel"]
CMD ["serve"]
