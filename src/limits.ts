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
  /** Addresses that are asked at one time who is there. */
  discoveryProbesMax: 16,
  /** Pledges of one node to form a cluster, one after the other: a new one is given only when nobody can form the one before any more. */
  pledgeRoundsMax: 1_000_000_000,
  listItemsMax: 1000,
  listItemsDefault: 100,
  /** Values in one page of a listing: after the first record, the page ends here. */
  listBytesMax: 8 * 1024 * 1024,
  requestTimeoutMsDefault: 10_000,
  requestTimeoutMsMax: 60_000,
  /** The largest `?maxStaleness=`. */
  maxStalenessMsMax: 24 * 3_600_000,

  /** Request line and headers: two bounds and a cursor of the largest keys, percent-encoded, and room for the rest. */
  httpHeaderBytesMax: 48 * 1024,
  httpHeadersTimeoutMs: 10_000,
  /** From the first byte of a request to the last of its body. */
  httpReceiveTimeoutMs: 30_000,
  httpKeepAliveMs: 65_000,
  /** How often connections are checked against the two times above. */
  httpConnectionsCheckMs: 1_000,
  httpConnectionsMax: 10_000,
  /** Streams of whole ranges or of the state at once: each holds a view of the store. */
  httpStreamsMax: 32,
  /** One piece of such a stream: records, and bytes of values. */
  streamRecordsMax: 512,
  streamBytesMax: 256 * 1024,
  /** A stream whose reader takes nothing for this long is cut off. */
  streamStallTimeoutMs: 30_000,

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
  /** Messages, and bytes of their bodies, that are kept for a peer while it is being dialled. */
  peerEarlyMessagesMax: 32,
  peerEarlyBytesMax: 1024 * 1024,
  handshakeTimeoutMs: 3_000,
  connectTimeoutMs: 2_000,
  /** The pause between two attempts to connect to a peer, from the first to the last; no longer than an election timeout (`transport/pace.ts`). */
  reconnectDelayMsMin: 20,
  reconnectDelayMsMax: 1_000,
  /** Incoming peer connections in all. */
  peerConnectionsMax: 256,
  /** One frame from a node that has not introduced itself yet: a hello, or the answer with a report. */
  handshakeBytesMax: 256 * 1024,
  /** How often the way to a connected peer is measured. */
  peerPingIntervalMs: 1_000,
  /** A peer that has not answered a ping for so long is taken for gone, and is dialled again. */
  peerPingTimeoutMs: 5_000,
  /** An incoming connection on which nothing came for so long is closed; its dialler pings all the time. */
  peerSilenceMsMax: 15_000,
  /** How long a stop waits for the last frames to leave. */
  peerStopGraceMs: 200,

  snapshotChunkBytes: 256 * 1024,
  snapshotsSentAtOnceMax: 2,
  /** Between two chunks, however slowly they may be sent: a quarter of the time after which either side gives up. */
  snapshotPauseMsMax: 7_500,
  snapshotStallTimeoutMs: 30_000,
  /** Chunks received and not yet taken by the node: beyond, the connection is not read. */
  snapshotUnreadBytesMax: 1024 * 1024,
  /** From the last chunk until the receiver must have installed the state. */
  snapshotInstallTimeoutMs: 600_000,

  segmentBytes: 64 * 1024 * 1024,
  /** The log's index holds one position for this many bytes, or more when the log is so long that it would not fit `logSpansMax`. */
  logSpanBytes: 32 * 1024,
  logSpansMax: 65_536,
  /** Recent batches kept in memory for replication. */
  logCacheBytesMax: 32 * 1024 * 1024,
  /** Hot records kept in memory. */
  recordCacheBytesMax: 64 * 1024 * 1024,

  /** Files of the state that no compaction has merged yet; writers wait beyond, below the 36 at which RocksDB would stop them. */
  stateFilesUnmergedMax: 28,
  /** A write or a flush of the state that lasts so long is looked into, and again after as long. */
  storeSlowMs: 5_000,
  /** What must be free on a disk beside the rows in memory; with less, a store that does not answer is taken to wait for room. */
  stateFreeBytesMin: 1024 * 1024,
  /** How long the close of a store waits after a fault. */
  failedStoreCloseMsMax: 2_000,
  /** How long a process that leaves after a fault may take, before it is killed. */
  leaveMsMax: 5_000,

  /** One append to a follower; a larger batch goes alone. */
  appendBytesMax: 1024 * 1024,
  appendEntriesMax: 8192,
  /** Appends on their way to one follower. */
  inflightAppendsMax: 64,
  inflightBytesMax: 16 * 1024 * 1024,
  /** Beyond this a leader refuses proposals. */
  uncommittedBytesMax: 64 * 1024 * 1024,
  /** A learner this close to the leader's last entry counts as caught up. */
  caughtUpEntriesMax: 1000,

  /**
   * An answer that a client reads whole: the largest page of a listing (`listBytesMax`, and one more value of the largest size), in
   * which JSON may need six characters for each byte of a value or a key, and room for the rest.
   */
  clientAnswerBytesMax: 6 * (8 * 1024 * 1024 + 16 * 1024 * 1024 + 1000 * 4096) + 1024 * 1024,
} as const
