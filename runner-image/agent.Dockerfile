# The agent: faults inside a pod. Its container has rights that no other of ours has, so there is
# little in it: Python, h11, and of our code what carries these faults out.
# Build from the root of the repository: docker build -f runner-image/agent.Dockerfile .
ARG BASE=python:3.12-slim-bookworm

# Only a change of the requirements themselves builds the dependencies again, not any change of
# pyproject.toml: so the lists are the same file, to the second, as long as they say the same.
FROM ${BASE} AS requirements
COPY pyproject.toml /
RUN python3 -c "import os, tomllib; p = tomllib.load(open('/pyproject.toml', 'rb')); \
    lines = [each for each in p['project']['dependencies'] if each.startswith('h11')]; \
    open('/requirements.txt', 'w').write('\n'.join(lines)); \
    open('/build.txt', 'w').write('\n'.join(p['build-system']['requires'])); \
    [os.utime(name, (0, 0)) for name in ('/requirements.txt', '/build.txt')]"

FROM ${BASE} AS dependencies
COPY --from=requirements /requirements.txt /
# Bytecode is never checked against its source: that may be on a read-only root, and costs a stat.
# Public Python images come without the standard library's.
RUN python3 -m venv /tmp/tools && python3 -m venv --without-pip /opt/seatrial \
 && /tmp/tools/bin/pip --python /opt/seatrial/bin/python install -q --no-compile \
      -r /requirements.txt \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/seatrial \
 && python3 -c "import compileall, sysconfig; \
      compileall.compile_dir(sysconfig.get_path('stdlib'), quiet=2, maxlevels=3)" \
 && rm -r /tmp/tools

FROM ${BASE} AS source
COPY --from=requirements /build.txt /
RUN python3 -m venv /tools && /tools/bin/pip install -q -r /build.txt
COPY pyproject.toml README.md LICENSE /src/
COPY operator/seatrial/__init__.py /src/operator/seatrial/
COPY operator/seatrial/api /src/operator/seatrial/api
COPY runner-image/seatrial_runner/__init__.py runner-image/seatrial_runner/__main__.py \
     runner-image/seatrial_runner/clock.py /src/runner-image/seatrial_runner/
COPY runner-image/seatrial_runner/httpserver /src/runner-image/seatrial_runner/httpserver
COPY runner-image/seatrial_runner/control /src/runner-image/seatrial_runner/control
COPY runner-image/seatrial_runner/agent /src/runner-image/seatrial_runner/agent
RUN /tools/bin/pip install -q --no-deps --no-build-isolation --no-compile --target /app /src \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /app

FROM dependencies
ENV PATH=/opt/seatrial/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# Root: the container's security context says how much of it, see seatrial.api.agents.
USER 0:0
ENTRYPOINT ["python", "-m", "seatrial_runner"]
CMD ["agent"]
COPY --from=source /app /app
