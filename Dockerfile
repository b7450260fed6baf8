# The course, headless, on CPUs:  docker build -t maunet . && docker run --rm -v "$PWD/out:/kit/out" maunet
# In JupyterLab:  docker run --rm -p 8888:8888 maunet make lab ARGS="--ip=0.0.0.0 --allow-root --no-browser"
FROM python:3.11-slim

RUN apt-get update \
 && apt-get install -y --no-install-recommends make git \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /kit
# what installs first and changes seldom: the packages stay in the cache when only the course has changed
COPY pyproject.toml constraints.txt Makefile README.md LICENSE LICENSE-text.md ./
COPY maunet_lite/__init__.py maunet_lite/
RUN make install
COPY . .

ENV PROFILE=quick
CMD ["make", "notebooks"]
