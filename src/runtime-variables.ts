/**
 * Environment variables with which a node's process is started. libuv and the C library read them before any module is loaded, so
 * the executable (`quorate.cts`) states them once more; a test compares it, package.json and docs/OPERATIONS.md with this table.
 */
export const runtimeVariables = {
  /** Threads of libuv: the log's synced write, RocksDB's batches and reads and name look-ups must not wait for each other. */
  UV_THREADPOOL_SIZE: '8',
  /**
   * Bytes above which the C library gives a piece of memory back as soon as it is freed, and how much else it keeps. Left to
   * itself it keeps most: with values of 16 MiB some 800 MiB of a node instead of 250.
   */
  MALLOC_MMAP_THRESHOLD_: String(256 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(8 * 1024 * 1024),
} as const
