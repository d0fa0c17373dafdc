# syntax=docker/dockerfile:1
#   docker build -t quorate .
#   docker run -p 7001:7001 -v quorate-1:/data quorate --id 1
ARG NODE_IMAGE=node:20-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# Of the prebuilt RocksDB bindings only this platform's is kept: the others are most of the image.
RUN npm ci --omit=dev \
  && platform="$(node -p 'process.platform + "-" + process.arch')" \
  && find node_modules -type d -path '*/prebuilds/*' -prune ! -name "$platform" -exec rm -rf {} + \
  && test -d "node_modules/rocksdb-native/prebuilds/$platform"

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
WORKDIR /opt/quorate
COPY --from=dependencies /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY package.json LICENSE ./
COPY scripts/healthcheck.mjs ./scripts/
# The thread pool carries the log's synced writes, RocksDB and name look-ups; its size is read before any code runs.
# Without a bound on its arenas the C library keeps large values that were freed, once for every thread that has had them.
ENV NODE_ENV=production \
  UV_THREADPOOL_SIZE=8 \
  MALLOC_ARENA_MAX=2 \
  QUORATE_DATA_DIR=/data \
  QUORATE_API=0.0.0.0:7001 \
  QUORATE_RAFT=0.0.0.0:7101
USER 10001:10001
VOLUME /data
EXPOSE 7001 7101
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["node", "scripts/healthcheck.mjs"]
ENTRYPOINT ["tini", "--", "node", "--enable-source-maps", "dist/main.js", "serve"]
