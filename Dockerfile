# Three images. `docker build --target train .` runs `textrnn`; `docker build --target onnx .` serves
# one ONNX export by `textrnn serve`, without TensorFlow; `docker build --target serve .` serves one
# SavedModel by TF Serving. docs/serving.md shows how to use them.

FROM python:3.13-slim-bookworm AS train
WORKDIR /build
# The dependencies have a layer of their own, which a change of the source leaves alone.
COPY setup.cfg constraints.txt ./
RUN python -c "import configparser; c = configparser.RawConfigParser(); c.read('setup.cfg'); \
print(c['options']['install_requires'], c['options.extras_require']['serving'])" > requirements.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY tf_textrnn tf_textrnn
RUN pip install --no-cache-dir --no-deps .
# `docker run --user` may name any user of the host, who has no home folder here.
RUN useradd --create-home trainer && chmod 1777 /home/trainer && mkdir --mode=1777 /runs
ENV HOME=/home/trainer
COPY configs /configs
# From here `runs/…` is /runs/…, so that printed commands fit the host too.
WORKDIR /
USER trainer
ENTRYPOINT ["textrnn"]

FROM python:3.13-slim-bookworm AS onnx
WORKDIR /build
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt \
    absl-py numpy onnxruntime starlette uvicorn
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY tf_textrnn tf_textrnn
RUN pip install --no-cache-dir --no-deps .
ARG MODEL
COPY --chown=nobody:nogroup ${MODEL} /models/textrnn/1
USER nobody
EXPOSE 8501
ENTRYPOINT ["textrnn", "serve", "--model=/models/textrnn", "--host=0.0.0.0"]

# The newest image of TensorFlow Serving; there is none of 2.21 (docs/serving.md).
FROM tensorflow/serving:2.20.0 AS serve
ARG MODEL
# Readable for the server, whatever the rights of the host's files are.
COPY --chown=nobody:nogroup ${MODEL} /models/textrnn/1
ENV MODEL_NAME=textrnn
USER nobody
