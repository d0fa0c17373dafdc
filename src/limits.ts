/** Every maximum in one place. Sizes in bytes, times in milliseconds. */
export const limits = {
  /** Keys are 1 to this many bytes of UTF-8. */
  keyBytesMax: 4096,
  /** Default of `--value-bytes-max`. */
  valueBytesMaxDefault: 1024 * 1024,
  /** The largest value that can be configured: an entry must fit a frame with room to spare. */
  valueBytesMaxCeiling: 16 * 1024 * 1024,
  idempotencyKeyBytesMax: 128,
  /** Keyed writes whose first answer is remembered. Replicated state depends on it: the same on every node, and changed only with the format. */
  keyedWritesMax: 100_000,
  /** JSON bodies (cluster routes). */
  jsonBodyBytesMax: 256 * 1024,
  membersMax: 64,
  listItemsMax: 1000,
  listItemsDefault: 100,
  /** Values in one page of a listing: after the first record, the page ends here. */
  listBytesMax: 8 * 1024 * 1024,
  requestTimeoutMsDefault: 10_000,
  requestTimeoutMsMax: 60_000,

  /** Proposals gathered into one log batch. */
  batchEntriesMax: 4096,
  batchBytesMax: 1024 * 1024,
  /** One frame between peers: a batch, or one entry of the largest value, and its header. */
  frameBytesMax: 32 * 1024 * 1024,
  /** Requests that wait for an outcome on one node. */
  pendingProposalsMax: 65_536,
  pendingProposalBytesMax: 128 * 1024 * 1024,
  pendingReadsMax: 65_536,

  /** Frames that wait for one peer's socket. */
  peerQueueBytesMax: 64 * 1024 * 1024,
  handshakeTimeoutMs: 3_000,
  connectTimeoutMs: 2_000,
  reconnectDelayMsMin: 20,
  reconnectDelayMsMax: 1_000,
  /** Incoming peer connections in all. */
  peerConnectionsMax: 256,

  snapshotChunkBytes: 256 * 1024,
  snapshotsSentAtOnceMax: 2,
  snapshotStallTimeoutMs: 30_000,

  segmentBytes: 64 * 1024 * 1024,
  /** Recent batches kept in memory for replication. */
  logCacheBytesMax: 32 * 1024 * 1024,
  /** Hot records kept in memory. */
  recordCacheBytesMax: 64 * 1024 * 1024,
} as const
