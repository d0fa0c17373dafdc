#!/usr/bin/env -S MALLOC_MMAP_THRESHOLD_=262144 MALLOC_TRIM_THRESHOLD_=8388608 node
// The executable. The C library reads its variables before anything else runs, and without them it keeps memory that was freed: with
// values of 16 MiB some 800 MiB of a node instead of 250.
// libuv reads UV_THREADPOOL_SIZE once, when the first task reaches its pool, and loading an ES module is such
// a task: the variable must be set from CommonJS, before anything is imported.
// Eight threads: the log's synced write, RocksDB's batches and reads and name look-ups must not wait for each other.
process.env['UV_THREADPOOL_SIZE'] ??= '8'
process.setSourceMapsEnabled(true)
void import('./main.ts')
