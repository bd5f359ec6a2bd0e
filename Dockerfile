# Not verified: nobody has built this image yet (docs/operations.md). It serves web and worker with one command.
FROM python:3.11-slim-bookworm
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 BIND=0.0.0.0 DATA_DIR=/data
WORKDIR /srv/counterpart
RUN useradd --system --uid 10001 --home-dir /srv/counterpart counterpart \
    && mkdir /data && chown counterpart /data /srv/counterpart
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY --chown=counterpart manage.py ./
COPY --chown=counterpart portal portal
COPY --chown=counterpart connections connections
COPY --chown=counterpart syncer syncer
COPY --chown=counterpart templates templates
USER counterpart
VOLUME /data
EXPOSE 8000
HEALTHCHECK --start-period=60s --interval=30s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=5)"]
ENTRYPOINT ["python", "manage.py"]
CMD ["run"]
