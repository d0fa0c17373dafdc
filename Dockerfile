# syntax=docker/dockerfile:1
#   docker build -t quorate .
#   docker network create quorate
#   docker run -d --name quorate-1 --hostname quorate-1 --network quorate -p 127.0.0.1:7001:7001 -v quorate-1:/data quorate serve --id 1
#   docker exec quorate-1 quorate cluster initialize
# A node advertises its host name: give it one that the others, and the clients, can look up. docs/OPERATIONS.md, "Install", has more.
ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json README.md CHANGELOG.md CONTRIBUTING.md LICENSE ./
COPY scripts/declarations.mjs scripts/ui.mjs scripts/prune-binding.mjs ./scripts/
COPY openapi ./openapi
COPY docs ./docs
COPY deploy ./deploy
COPY src ./src
# The package that servers get, for this platform alone: all that it needs is in it.
RUN npm pack --os=linux --cpu="$(node -p process.arch)" \
  && npm install --global --offline --prefix /package ./quorate-*.tgz

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="quorate" \
  org.opencontainers.image.description="A replicated key-value store on Raft" \
  org.opencontainers.image.licenses="Apache-2.0"
# libatomic1: the RocksDB binding links to it. tini: reaps children and forwards signals, for Node is no init.
RUN apt-get update \
  && apt-get install -y --no-install-recommends libatomic1 tini \
  && rm -rf /var/lib/apt/lists/* \
  && groupadd --gid 10001 quorate \
  && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin quorate \
  && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /package /usr/local
COPY deploy/container/entrypoint.sh /usr/local/bin/quorate-entrypoint
ENV NODE_ENV=production \
  QUORATE_DATA_DIR=/data \
  QUORATE_API=0.0.0.0:7001 \
  QUORATE_RAFT=0.0.0.0:7101
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 7001 7101
STOPSIGNAL SIGTERM
# Asks the node that runs in the container, wherever it listens. Liveness: one that has lost its quorum must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD quorate check health --timeout 2s || exit 1
ENTRYPOINT ["tini", "--", "quorate-entrypoint"]
CMD ["serve"]
