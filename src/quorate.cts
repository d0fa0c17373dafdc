#!/usr/bin/env -S MALLOC_MMAP_THRESHOLD_=262144 MALLOC_TRIM_THRESHOLD_=8388608 node
// The executable. `runtime-variables.ts` says what the variables are for. The C library reads its own before anything else runs.
// libuv reads UV_THREADPOOL_SIZE once, when the first task reaches its pool, and loading an ES module is such
// a task: the variable must be set from CommonJS, before anything is imported.
process.env['UV_THREADPOOL_SIZE'] ??= '8'
void import('./main.ts')
