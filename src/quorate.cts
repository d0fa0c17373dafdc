#!/usr/bin/env node
// The executable. libuv reads UV_THREADPOOL_SIZE once, when the first task reaches its pool, and loading an ES module is such
// a task: the variable must be set from CommonJS, before anything is imported.
// Eight threads: the log's synced write, RocksDB's batches and reads and name look-ups must not wait for each other.
process.env['UV_THREADPOOL_SIZE'] ??= '8'
process.setSourceMapsEnabled(true)
void import('./main.ts')
