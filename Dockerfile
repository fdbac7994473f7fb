# Two images: `docker build --target train .` runs train.py, `docker build --target serve .` serves
# one exported model. docs/serving.md walks through both.

FROM python:3.11.7-slim-bookworm AS train
WORKDIR /app
COPY setup.cfg pyproject.toml constraints.txt README.md ./
COPY tf_textrnn tf_textrnn
RUN pip install --no-cache-dir --constraint constraints.txt ".[serving]"
COPY train.py ./
COPY export export
COPY configs configs
RUN useradd --create-home trainer && mkdir runs && chown trainer runs
USER trainer
VOLUME /app/runs
ENTRYPOINT ["python", "train.py"]

FROM tensorflow/serving:2.20.0 AS serve
ARG MODEL
COPY ${MODEL} /models/textrnn/1
ENV MODEL_NAME=textrnn
USER nobody
