# hmpfit with its viewer and its local page. Build: docker build -t hmpfit .
# Run: docker run --rm -v "$PWD:/work" hmpfit run video.mp4
# The page: docker run --rm -p 127.0.0.1:8090:8090 -v "$PWD:/work" hmpfit app --host 0.0.0.0   (open the printed address)
FROM python:3.11-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 libegl1 \
 && rm -rf /var/lib/apt/lists/*
# A CPU build of torch is enough, and smaller: --build-arg PIP_EXTRA_INDEX_URL=<torch's CPU index>
ARG PIP_EXTRA_INDEX_URL=
COPY . /source
RUN pip install --no-cache-dir -c /source/constraints.txt "/source[app,view]" && rm -rf /source
RUN useradd --create-home hmpfit
USER hmpfit
WORKDIR /work
ENTRYPOINT ["hmpfit"]
CMD ["--help"]
