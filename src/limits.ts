/** Every maximum in one place. Sizes in bytes, times in milliseconds. */
export const limits = {
  /** Keys are 1 to this many bytes of UTF-8. */
  keyBytesMax: 4096,
  /** Default of `--value-bytes-max`. */
  valueBytesMaxDefault: 1024 * 1024,
  /** The largest value that can be configured: an entry must fit a frame with room to spare. */
  valueBytesMaxCeiling: 16 * 1024 * 1024,
  idempotencyKeyBytesMax: 128,
  /**
   * Idempotent writes whose first answer is remembered: at 10,000 a second still longer than the longest deadline of a request.
   * Replicated state depends on it: the same on every node, and changed only with the format. So do the next two.
   */
  idempotentWritesMax: 1_000_000,
  /**
   * The previous values in those answers: the small ones for as long as the answer, larger ones for as many later ones of about
   * their size, 128 MiB of each size.
   */
  keptValues: {
    inlineBytesMax: 256,
    rings: [
      { valueBytesMax: 4 * 1024, slots: 32_768 },
      { valueBytesMax: 256 * 1024, slots: 512 },
      { valueBytesMax: 16 * 1024 * 1024, slots: 8 },
    ],
  },
  /** Keys that one entry may remove as a range. */
  rangeDeleteKeysMax: 4096,
  /** A disk that syncs less than 8 MiB a second hangs, as far as a leader is concerned. Bytes a millisecond. */
  diskBytesPerMsMin: 8 * 1024,
  /** JSON bodies (cluster routes). */
  jsonBodyBytesMax: 256 * 1024,
  /** Values in such a body, small and large ones: twice what the longest list of members has, and more. */
  jsonBodyValuesMax: 1024,
  /** Mistakes of one request that are named. */
  issuesMax: 20,
  /** Origins of `--api-origins`. */
  apiOriginsMax: 32,
  membersMax: 64,
  /** The highest `--leader-priority`. */
  leaderPriorityMax: 100,
  /** Addresses that are asked at one time who is there. */
  discoveryProbesMax: 16,
  /** Pledges of one node to form a cluster, one after the other: a new one is given only when nobody can form the one before any more. */
  pledgeRoundsMax: 1_000_000_000,
  listItemsMax: 1000,
  listItemsDefault: 100,
  /** Keys that a count looks at in one piece. */
  countKeysMax: 1024,
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
  /** Connections of clients, where the process may have enough descriptors (`descriptors.ts`); and the least, or it does not start. */
  httpConnectionsMax: 10_000,
  httpConnectionsMin: 16,
  /** A node that may serve fewer says so at its start. */
  httpConnectionsFew: 1_000,
  /** A connection that has been idle this long may be closed for a new one when there are too many. */
  httpIdleMsMin: 1_000,
  /** Connections that are told at one time that there are too many, and how long that may take. */
  httpRefusalsMax: 8,
  httpRefusalMsMax: 500,
  httpRefusalReportMs: 10_000,
  /** Requests in hand: handled, waiting for their turn, or with answers that are not sent whole. */
  httpRequestsMax: 20_000,
  /** The same on one connection, after which it is not read; what is in the same packet still counts. */
  httpPipelinedMax: 64,
  /** Safe requests of one connection that are handled side by side, and the bytes of its answers beyond which no other begins. */
  httpParallelMax: 16,
  httpLineAnswerBytesMax: 1024 * 1024,
  /** Bytes of all bodies of requests in memory, from their arrival until the answer. */
  httpBodyBytesMax: 256 * 1024 * 1024,
  /** Bytes of all answers in memory; a larger one goes alone. */
  httpAnswerBytesMax: 256 * 1024 * 1024,
  /** A large answer leaves in pieces of this size. */
  httpAnswerPieceBytes: 64 * 1024,
  /** A client that something waits for takes so many bytes in this time, or is cut off. */
  httpAnswerTakenBytesMin: 64 * 1024,
  httpAnswerStallTimeoutMs: 30_000,
  /** How long a client that has ended its side of the connection is taken for one that still reads, when its request waits. */
  httpHalfClosedWaitMs: 2_000,
  /** How long, and how much, a connection is read after its last answer, so that the client sees it. */
  httpLingerMs: 5_000,
  httpLingerBytesMax: 64 * 1024 * 1024,
  /** Streams of whole ranges or of the state at once: each holds a view of the store. */
  httpStreamsMax: 32,
  /** What these may hold in memory together, at about four of the largest values each: large values allow fewer streams. */
  httpStreamsBytesMax: 256 * 1024 * 1024,
  /** One piece of such a stream: records, and bytes of values. */
  streamRecordsMax: 512,
  streamBytesMax: 256 * 1024,

  /** Terms and indexes beyond this are no part of the protocol: far above what elections and writes can reach, far below what integers hold. */
  termMax: 2 ** 48,
  logIndexMax: 2 ** 48,
  /** By how much peers may raise this node's term at most: elections that it may have missed, and how many there can be in a second. */
  termsMissedMax: 2 ** 32,
  termsPerSecondMax: 1_000,
  /** Nodes in a membership that a peer sends. Above `membersMax`, which bounds what is asked for. */
  membersReadMax: 1_024,
  /** What unsound peers did is a warning for this long after the last time, and is logged at most this often. */
  complaintMsMax: 600_000,
  complaintLogIntervalMs: 10_000,
  /** A refusal between two nodes for one reason is logged once in this time, with a count; and reasons of how many are kept in mind. */
  refusalLogIntervalMs: 600_000,
  refusalsKnownMax: 256,

  /** Proposals gathered into one log batch. */
  batchEntriesMax: 4096,
  batchBytesMax: 1024 * 1024,
  /** One frame between peers: a batch, or one entry of the largest value, and its header. */
  frameBytesMax: 32 * 1024 * 1024,
  /** Requests that wait for an outcome on one node. */
  pendingProposalsMax: 65_536,
  pendingProposalBytesMax: 128 * 1024 * 1024,
  /** Reads that wait for the leader, for a revision or for an entry to be applied. */
  pendingReadsMax: 65_536,
  /** What a leader remembers of forwarded batches under one ballot: the decisions for so many batches of so many origins, and of more origins only how far they came. */
  forwardedBatchesMax: 4096,
  forwardedOriginsMax: 128,
  forwardedOriginsInAllMax: 65_536,
  /** Requests about the cluster: those that wait for the leader, those that a leader works on, and those that wait for an event. */
  controlCallsMax: 256,
  controlWorkMax: 1024,
  conditionsMax: 1024,

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
  /** Incoming peer connections in all, where the process may have enough descriptors; and the least. */
  peerConnectionsMax: 256,
  peerConnectionsMin: 8,
  /** The first frame of whoever connects: a hello, whose texts are bounded one by one. */
  helloBytesMax: 16 * 1024,
  /** An address, a name or an incarnation, as a node tells it of itself. */
  peerTextBytesMax: 512,
  /** Why a peer refuses something, in its words. */
  peerDetailBytesMax: 4_096,
  /** Frames that are still arriving on all incoming connections together; a frame that does not fit waits unread. */
  incomingFramesBytesMax: 256 * 1024 * 1024,
  /** Frames up to this size are not counted: all connections together hold little of them. */
  incomingFrameUncountedBytes: 64 * 1024,
  /** Pongs that wait for whoever pings and does not read. */
  peerPongQueueBytesMax: 64 * 1024,
  /** One frame of those that carry no entries and no rows: a report, the header of a snapshot, an answer. */
  handshakeBytesMax: 256 * 1024,
  /** How often the way to a connected peer is measured. */
  peerPingIntervalMs: 1_000,
  /** A peer that has not answered a ping for so long is taken for gone, and is dialled again. */
  peerPingTimeoutMs: 5_000,
  /** An incoming connection on which nothing came for so long is closed; its dialler pings all the time. */
  peerSilenceMsMax: 15_000,
  /** The same for a peer that is in no membership that this node knows. */
  strangerSilenceMsMax: 5_000,
  /** How long a stop waits for the last frames to leave. */
  peerStopGraceMs: 200,

  snapshotChunkBytes: 256 * 1024,
  snapshotsSentAtOnceMax: 2,
  /** Between two chunks, however slowly they may be sent: a quarter of the time after which either side gives up. */
  snapshotPauseMsMax: 7_500,
  snapshotStallTimeoutMs: 30_000,
  /** Chunks received and not yet taken by the node: beyond, the connection is not read. */
  snapshotUnreadBytesMax: 1024 * 1024,
  /** A received state may be so many times larger than was announced, and by so much more: sizes on disk are estimates. */
  snapshotEstimateFactor: 16,
  snapshotEstimateSlackBytes: 256 * 1024 * 1024,
  /** Free space on the disk that a received state must leave, and how often that is looked at. */
  snapshotDiskReserveBytes: 256 * 1024 * 1024,
  snapshotDiskCheckBytes: 32 * 1024 * 1024,
  /** From the last chunk until the receiver must have installed the state. */
  snapshotInstallTimeoutMs: 600_000,

  segmentBytes: 64 * 1024 * 1024,
  /** The largest values that a log file has room for, whatever its size was set to. */
  segmentValuesMin: 4,
  /** Log files beyond those that the log needs until it is purged: what comes while it is, and those that are made ahead or freed. */
  logFilesSpare: 8,
  /** Open files of one database of the state: the least, and where the process may have enough descriptors. */
  stateFilesMin: 28,
  stateFilesMax: 1_024,
  /** Descriptors of the process itself: the runtime, listeners, vote and watermark, the lock, files written whole. */
  processDescriptors: 40,
  /** The log's index holds one position for this many bytes, or more when the log is so long that it would not fit `logSpansMax`. */
  logSpanBytes: 32 * 1024,
  logSpansMax: 65_536,
  /** Recent batches kept in memory for replication. */
  logCacheBytesMax: 32 * 1024 * 1024,
  /** What reads of single keys have on their way from the store at once, if each value is as large as may be; and how many. */
  rowsReadBytesMax: 256 * 1024 * 1024,
  rowsReadMax: 1024,
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

  /** Log lines that wait for the reader of a full pipe; beyond, they are dropped. */
  logWaitingBytesMax: 1024 * 1024,
  /** How often a full pipe is tried again, and how long the end of the process waits for it. */
  logRetryMs: 20,
  logFlushMsMax: 500,

  /**
   * An answer that a client reads whole: the largest page of a listing (`listBytesMax`, and one more value of the largest size), in
   * which JSON may need six characters for each byte of a value or a key, and room for the rest.
   */
  clientAnswerBytesMax: 6 * (8 * 1024 * 1024 + 16 * 1024 * 1024 + 1000 * 4096) + 1024 * 1024,
} as const
