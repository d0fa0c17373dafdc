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
   * Idempotent writes whose first answer is remembered. At 10,000 writes a second this lasts longer than the longest deadline
   * of a request. The replicated state depends on this value, so it is the same on every node and changes only with the format.
   * The same holds for the next two.
   */
  idempotentWritesMax: 1_000_000,
  /**
   * Previous values in those answers. Small ones are kept as long as the answer; larger ones for a number of later values of
   * about the same size, at most 128 MiB of each size.
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
  /** How long the deletion of a range in several entries rests between two of them. */
  rangeDeleteRestMsMax: 400,
  /**
   * Transactions. What the records that one names or lists may have in bytes together, and how many bytes of records one of its lists gives.
   * Results depend on these two: the same on every node, changed only with the format.
   */
  transaction: { readBytesMax: 64 * 1024 * 1024, listBytesMax: 1024 * 1024 },
  /** What one entry may do to the history (kv/history.ts): none may stop a node for longer than a heartbeat. */
  history: {
    rangeBytesMax: 32 * 1024 * 1024,
    stepRevisionsMax: 2048,
    stepRecordsMax: 4096,
    stepBytesMax: 1024 * 1024,
  },
  /** Results depend on `leases`: the same on every node, changed only with the format. A lease lasts for 30 days at most. */
  leases: { leasesMax: 100_000, attachedKeysMax: 1_000_000, endKeysMax: 4096, endBytesMax: 32 * 1024 * 1024 },
  lease: { ttlMsMin: 1_000, ttlMsMax: 30 * 24 * 3_600_000, idMax: 999_999_999_999_999, endsInFlightMax: 256 },
  lockWaitMsMax: 60_000,
  lock: { ownerBytesMax: 1024, waitsMax: 10_000, waitersShownMax: 100 },
  /**
   * Roles and tokens. Results depend on the first five: the same on every node, changed only with the format. The table of all of them is
   * written as a whole with each change.
   */
  auth: {
    rolesMax: 256,
    tokensMax: 1024,
    /** Grants of one role, and roles of one token. */
    grantsMax: 64,
    rolesOfTokenMax: 16,
    tableBytesMax: 1024 * 1024,
    /** The largest limits of a token, and the longest time until it ends. */
    perSecondMax: 1_000_000_000_000,
    ttlMsMax: 10 * 365 * 24 * 3_600_000,
    /** The secret in the file of `--auth-bootstrap-file`. */
    bootstrapSecretBytesMin: 16,
    bootstrapSecretBytesMax: 1024,
    /** So many different characters has the secret of a token at least, when its client has drawn it. */
    secretCharactersMin: 16,
    /** Denials that a node confirms with the leader at one time, and for how long. */
    confirmationsMax: 256,
    confirmMs: 1_000,
  },
  transactionComparesMax: 128,
  /** Of each branch. */
  transactionOperationsMax: 128,
  /** Bytes of all values in one transaction. */
  transactionValueBytesMax: 8 * 1024 * 1024,
  /**
   * The body of a transaction: its values, and its keys (one for each compare, two bounds for each operation), in which JSON may need six
   * characters for each byte, and space for the rest.
   */
  transactionBodyBytesMax: 6 * (8 * 1024 * 1024 + (128 + 2 * 2 * 128) * 4096) + 1024 * 1024,
  /** JSON values in such a body, nested ones included: up to five for each compare and six for each operation, and room for mistakes. */
  transactionBodyValuesMax: 4096,
  /**
   * A leader treats a disk of its own that syncs less than 8 MiB a second as hung, and entries on their way to a follower that come down at a
   * lower rate as lost. Bytes per millisecond.
   */
  diskBytesPerMsMin: 8 * 1024,
  /** A leader whose disk stands still steps down earlier when more than this waits to be written. */
  unsyncedBytesMax: 64 * 1024 * 1024,
  /** JSON bodies (cluster routes). */
  jsonBodyBytesMax: 256 * 1024,
  /** Values in such a body, nested ones included: more than twice as many as the longest list of members has. */
  jsonBodyValuesMax: 1024,
  /** Mistakes in one request that are named; the rest are counted. */
  issuesMax: 20,
  /** A file with certificates or a key. */
  tlsFileBytesMax: 1024 * 1024,
  /** A file with a secret, or with a token and the line break behind it. */
  secretFileBytesMax: 64 * 1024,
  /** How often a client command looks at the file with its token. */
  clientTokenFileReadMs: 100,
  /** How often the files of TLS are looked at. */
  tlsFilesCheckMs: 2_000,
  /** A certificate that ends within this time is warned of, or within this part of the time for which it was issued, if that is less. */
  certificateWarningMs: 30 * 24 * 3_600_000,
  certificateWarningPart: 1 / 3,
  /** Callers at the port of peers that have not proven who they are; beyond this the one that has been at it longest is closed. */
  peerTlsHandshakesMax: 64,
  /** Addresses of peers with which TLS fails that are remembered. */
  peerTlsFaultsMax: 64,
  /** Origins of `--api-origins`. */
  apiOriginsMax: 32,
  membersMax: 64,
  /** The highest id of a node: it fits the signed 32-bit integer of any client. */
  nodeIdMax: 2 ** 31 - 1,
  /** The id of a cluster. */
  clusterIdBytesMax: 256,
  /** The highest `--leader-priority`. */
  leaderPriorityMax: 100,
  /** The largest values of other settings: see `src/config/settings/`. */
  clusterTokenCharactersMax: 128,
  heartbeatMsMax: 10_000,
  electionTimeoutMsMax: 60_000,
  clusterFormationDelayMsMax: 10 * 60_000,
  stabilizationMsMax: 3_600_000,
  deadNodeAfterMsMax: 24 * 3_600_000,
  /** How much history may be kept: 0 revisions keeps none. */
  historyRevisionsMax: 1_000_000_000,
  historyAgeMsMin: 1_000,
  historyAgeMsMax: 365 * 24 * 3_600_000,
  historyBytesMin: 64 * 1024,
  historyBytesMax: 1024 * 1024 ** 3,
  /** A leader tells the ages of revisions apart: into so many parts of the time that history is kept, no shorter than this. */
  historySamples: { countMax: 128, msMin: 100 },
  purgeEveryEntriesMax: 100_000_000,
  purgeEveryBytesMax: 64 * 1024 ** 3,
  keepEntriesMax: 100_000_000,
  keepBytesMax: 64 * 1024 ** 3,
  snapshotBytesPerSecondMax: 16 * 1024 ** 3,
  snapshotHoldMsMax: 2 * 3_600_000,
  snapshotHoldBytesMax: 1024 * 1024 ** 3,
  segmentBytesMax: 1024 ** 3,
  shutdownTimeoutMsMax: 10 * 60_000,
  /** An address to probe: longer than the longest host name with a port. */
  probedAddressCharactersMax: 280,
  /** One kind of refusal is written to the log once in this time, with its number; and how much of a path is. */
  auditRefusalIntervalMs: 10_000,
  auditPathCharactersMax: 512,
  /** Nodes or addresses that one reason names. */
  reasonNamesMax: 5,
  /** Addresses that discovery probes at the same time. */
  discoveryProbesMax: 16,
  /** The file of `--discover file:PATH`. */
  discoveryFileBytesMax: 1024 * 1024,
  /** Successive pledges of one node to form a cluster. A new one is given only when the previous one can no longer form a cluster. */
  pledgeRoundsMax: 1_000_000_000,
  listItemsMax: 1000,
  listItemsDefault: 100,
  /** Keys that a count examines in one step, and their bytes. */
  countKeysMax: 1024,
  countBytesMax: 1024 * 1024,
  /** Bytes of values in one page of a listing. The page ends when they are exceeded, but holds at least one record. */
  listBytesMax: 8 * 1024 * 1024,
  /** Bytes of a record in JSON besides its key and its value: the names and numbers of its members. */
  recordMembersBytesMax: 256,
  /** Reading a past revision: rows and bytes of one read of the store, and how many such reads one piece of a listing takes. */
  past: { rowsMax: 128, bytesMax: 256 * 1024, readsMax: 16 },
  requestTimeoutMsDefault: 10_000,
  requestTimeoutMsMax: 60_000,
  /** The largest `?maxStaleness=`. */
  maxStalenessMsMax: 24 * 3_600_000,

  /** Request line and headers: two bounds and a cursor of the largest keys, percent-encoded, and space for the rest. */
  httpHeaderBytesMax: 48 * 1024,
  /** Of the extensions of one chunk. Node.js sets this limit, and offers no option to change it. */
  httpChunkExtensionsBytesMax: 16 * 1024,
  httpHeadersTimeoutMs: 10_000,
  /** From the first byte of a request to the last byte of its body. */
  httpReceiveTimeoutMs: 30_000,
  /** A request body up to this size is read to its end before the next request, even when no route wants it. */
  skippedBodyBytesMax: 64 * 1024,
  httpKeepAliveMs: 65_000,
  /** How often connections are checked against the two times above. */
  httpConnectionsCheckMs: 1_000,
  /**
   * Connections of clients. The first is used when the process has enough descriptors (`descriptors.ts`); below the second the
   * node does not start.
   */
  httpConnectionsMax: 20_000,
  httpConnectionsMin: 16,
  /** A node that can serve fewer clients than this warns at its start. */
  httpConnectionsFew: 1_000,
  /** A connection that has been idle this long may be closed for a new one when there are too many. */
  httpIdleMsMin: 1_000,
  /** Connections that are being told, at one time, that there are too many, and how long telling one may take. */
  httpRefusalsMax: 8,
  httpRefusalMsMax: 500,
  httpRefusalReportMs: 10_000,
  /** Requests in progress: being handled, waiting for their turn, or with answers that are not completely sent. */
  httpRequestsMax: 30_000,
  /**
   * The same on one connection. When it is reached, the connection is not read, but the requests of the same packet still count: a packet may
   * hold some thousands. While there are more than `httpRequestsCrowded` in all, a connection on which more arrive is closed.
   */
  httpPipelinedMax: 64,
  httpRequestsCrowded: 15_000,
  /** Safe requests of one connection that run side by side, and the bytes of its answers above which no further one begins. */
  httpParallelMax: 16,
  httpLineAnswerBytesMax: 1024 * 1024,
  /** Bytes of all request bodies in memory, from arrival until the answer. */
  httpBodyBytesMax: 256 * 1024 * 1024,
  /** Bytes of all answers in memory. A larger answer is sent when no other is in memory. */
  httpAnswerBytesMax: 256 * 1024 * 1024,
  /** A large answer is handed over in pieces of this size. */
  httpAnswerPieceBytes: 64 * 1024,
  /** A client takes at least this many bytes of its answers in the time below, or it is cut off. */
  httpAnswerTakenBytesMin: 64 * 1024,
  httpAnswerStallTimeoutMs: 30_000,
  /**
   * How long a connection is not read after a request on it was refused because there is too much to do. A lease is renewed when a third of its
   * time has passed, so it is less than a third of the shortest.
   */
  httpRefusedRestMs: 200,
  /** The same where many were refused: so that at most so many are read again in a second, but no longer than `Retry-After` says. */
  httpRefusedRestMsMax: 1_000,
  httpRefusedRestEndsPerSecond: 2_500,
  /**
   * For how long requests are taken in one turn of the event loop, before connections wait for later turns: a fraction of the time after which
   * followers miss their leader. And so many connections at least are read again in each of those turns.
   */
  httpTurnMsMax: 50,
  httpReadAgainMin: 64,
  /** How long a client that has closed its sending side is expected to read on while its request waits, for anything but a lock. */
  httpHalfClosedWaitMs: 2_000,
  /** How long a connection is read after its last answer, and how many bytes, so that the client receives the answer. */
  httpLingerMs: 5_000,
  httpLingerBytesMax: 64 * 1024 * 1024,
  /** Streams of whole ranges or of the whole state at once. Each holds a view of the store. */
  httpStreamsMax: 32,
  /** How many of them ranges leave to the whole state; of fewer streams, one in four. */
  httpStreamsForBackups: 4,
  /**
   * Bytes that these streams may hold in memory together. Each holds about four of the largest values, so large values allow
   * fewer streams.
   */
  httpStreamsBytesMax: 256 * 1024 * 1024,
  /** One piece of such a stream: number of records, and bytes of values. */
  streamRecordsMax: 512,
  streamBytesMax: 256 * 1024,

  /**
   * Imports. One change holds the next records of the stream: up to this many, and up to so many bytes of keys and values, or a single larger
   * record. A retry under an idempotency key cuts the stream as the first attempt did, also through a node of another build: neither value
   * changes as long as such a retry is possible.
   */
  importChunkRecordsMax: 128,
  importChunkBytesMax: 512 * 1024,
  /** Changes of one import that are on their way at once, and their bytes: four of the default's largest values. A single change may have more. */
  importChunksInFlightMax: 8,
  importBytesInFlightMax: 4 * (1024 * 1024 + 4096),
  /** Imports at once on one node, and what they may hold in memory together: large values allow fewer. */
  importsMax: 8,
  importsBytesMax: 256 * 1024 * 1024,
  /** The sender of an import is waited for this long at a time. */
  importSilenceMsMax: 30_000,
  /** For each so many bytes, the sender is waited for this long in all. */
  importSentBytesMin: 64 * 1024,
  importSlowMsMax: 300_000,

  /** Watches on one node; fewer when the process has few descriptors (`descriptors.ts`). They are not counted as streams. */
  watchersMax: 10_000,
  /** Changes in memory while anybody watches: entries, and bytes (or the last entry); those that wait for one watcher. The rest is on the disk. */
  watchRecentEntriesMax: 65_536,
  watchRecentBytesMax: 32 * 1024 * 1024,
  watchQueuedMax: 1024,
  /** Bytes that were read from the disk for one watcher, besides the last change; and for all of them together. */
  watchHeldBytesMax: 64 * 1024,
  watchHeldBytesInAllMax: 64 * 1024 * 1024,
  /** Readers of the changes on the disk, however many watchers are behind, and how far ahead of one a watcher may wait for it. */
  watchWalksMax: 4,
  watchBoardingRevisionsMax: 10_000,
  /** What one turn of the event loop does at most: entries that such a reader looks at, watchers that are woken. */
  watchStepMax: 256,
  /** And the watchers that it looks at for changes in memory, or somewhat more: each change is looked at for all of its watchers at once. */
  watchVisitsMax: 32_768,
  /** Bytes of lists of changes that it reads at a time; changes whose records it looks up together. */
  watchFeedBytesMax: 256 * 1024,
  watchFeedRowsMax: 16,
  /** How often a watcher is told how far it is, and a stream of events carries a comment; how long a reader may take nothing, and when memory is short. */
  watchSignMs: 15_000,
  watchStallMsMax: 30_000,
  watchPatienceMs: 2_000,
  /** Bytes of events on their way to all watchers; of texts that are kept for others; that one stream takes at a time, and holds. */
  watchSentBytesMax: 128 * 1024 * 1024,
  watchTextsBytesMax: 8 * 1024 * 1024,
  watchTakeBytesMax: 16 * 1024,

  /** The highest term and index of the protocol: far above what elections and writes can reach, far below the largest exact integer. */
  termMax: 2 ** 48,
  logIndexMax: 2 ** 48,
  /** How far peers may raise this node's term: the elections that it may have missed, and the number possible in one second. */
  termsMissedMax: 2 ** 32,
  termsPerSecondMax: 1_000,
  /** Nodes in a membership that a peer sends. Larger than `membersMax`, which limits the memberships that can be requested. */
  membersReadMax: 1_024,
  /** A fault of an unsound peer remains a warning for this long after it last occurred, and is logged at most this often. */
  complaintMsMax: 600_000,
  complaintLogIntervalMs: 10_000,
  /**
   * Refusals between two nodes for one reason are logged once in this time, with their number. The second value is how many
   * such reasons are remembered.
   */
  refusalLogIntervalMs: 600_000,
  refusalsKnownMax: 256,

  /** The longest time that can be set for a request to be called slow. */
  slowRequestMsMax: 600_000,
  /** Lines about slow requests in one interval. Those beyond them are told in one line at its end. */
  slowRequestLinesMax: 20,
  slowRequestIntervalMs: 10_000,
  /** Moments that are remembered of each stage of the log, so that a slow request can tell where its time went. A power of two. */
  slowRequestMarksMax: 8_192,
  /** The moments of a stage are told apart at this part of the threshold. */
  slowRequestSteps: 100,
  /** Forwarded batches that are timed until they are applied. */
  slowForwardedMax: 4_096,

  /** Proposals gathered into one log batch. */
  batchEntriesMax: 4096,
  batchBytesMax: 1024 * 1024,
  /** One frame between peers: a batch, or one entry with the largest value, and its header. */
  frameBytesMax: 32 * 1024 * 1024,
  /** Requests on one node that wait for their outcome. */
  pendingProposalsMax: 65_536,
  pendingProposalBytesMax: 128 * 1024 * 1024,
  /**
   * How long the writes before it may keep a write waiting: beyond this it is refused, unless it has only so many before it, of so many bytes
   * together.
   */
  writeWaitMsMax: 500,
  writesFewMax: 64,
  writesFewBytesMax: 1024 * 1024,
  /** Reads that wait for the leader, for a revision or for an entry to be applied; and what reads have asked the disk for. */
  pendingReadsMax: 65_536,
  /**
   * What a leader remembers of forwarded batches under one ballot: the decisions on this many batches of this many origins; of
   * more origins only how far their batches are decided.
   */
  forwardedBatchesMax: 4096,
  forwardedOriginsMax: 128,
  forwardedOriginsInAllMax: 65_536,
  /**
   * Requests about the cluster on one node: those that wait for the leader, those that a leader works on, and those that wait
   * for an event.
   */
  controlCallsMax: 256,
  controlWorkMax: 1024,
  conditionsMax: 1024,
  /** Questions of other nodes for an index to read at, on which a leader works. */
  remoteReadsMax: 65_536,
  /** Warnings of one node. */
  warningsMax: 32,

  /** Frames that wait for one peer's socket. */
  peerQueueBytesMax: 64 * 1024 * 1024,
  /** Messages, and bytes of their bodies, that are kept for a peer while it is being dialled. */
  peerEarlyMessagesMax: 32,
  peerEarlyBytesMax: 1024 * 1024,
  handshakeTimeoutMs: 3_000,
  connectTimeoutMs: 2_000,
  /** The first and the last pause between two attempts to connect to a peer; at most an election timeout (`transport/pace.ts`). */
  reconnectDelayMsMin: 20,
  reconnectDelayMsMax: 1_000,
  /** The same for a node that is refused because another process counts as it, which lasts until somebody stops one of the two. */
  doubleDialDelayMsMax: 30_000,
  /** A second process under one id is a warning for this long after it called; longer than it pauses. */
  doubleMsMax: 90_000,
  /** Incoming peer connections in total. The first is used when the process has enough descriptors; the second is the least. */
  peerConnectionsMax: 256,
  peerConnectionsMin: 8,
  /** The first frame of a connection: a hello, whose texts have limits of their own. */
  helloBytesMax: 16 * 1024,
  /** An address, a name or an incarnation, as a node states it about itself. */
  peerTextBytesMax: 512,
  /** A peer's own explanation of a refusal. */
  peerDetailBytesMax: 4_096,
  /** Bytes of incomplete frames on all incoming connections together; a frame that does not fit waits unread. */
  incomingFramesBytesMax: 256 * 1024 * 1024,
  /** Frames up to this size are not counted: even on all connections together they take little memory. */
  incomingFrameUncountedBytes: 64 * 1024,
  /** Bytes of pongs that wait for a peer that pings but does not read. */
  peerPongQueueBytesMax: 64 * 1024,
  /** A frame without entries or rows: a report, the header of a snapshot, an answer. */
  handshakeBytesMax: 256 * 1024,
  /** How often the round trip to a connected peer is measured. */
  peerPingIntervalMs: 1_000,
  /** A peer that has not answered a ping for this long is considered gone, and is dialled again. */
  peerPingTimeoutMs: 5_000,
  /** An incoming connection on which nothing has arrived for this long is closed; a live dialler keeps pinging. */
  peerSilenceMsMax: 15_000,
  /** The same for a peer that is in no membership known to this node. */
  strangerSilenceMsMax: 5_000,
  /** How long a stop waits for the last frames to leave. */
  peerStopGraceMs: 200,

  /** A block of a backup: rows as one frame between peers holds them, and more than any single row has. */
  backupBlockBytesMax: 64 * 1024 * 1024,
  /** What a backup rests after each piece while entries are applied, as a multiple of the time that reading the piece took; and at most. */
  backupRestFactor: 1,
  backupRestMsMax: 100,
  /** How far revisions jump at a restore or a recovery unless it is told otherwise: more than a busy cluster writes in a day. */
  revisionGapDefault: 1_000_000_000,
  /** A name of a restore: enough for a date and a reason. */
  restoreNameCharactersMax: 128,

  snapshotChunkBytes: 256 * 1024,
  snapshotsSentAtOnceMax: 2,
  /** The longest pause between two chunks, however slow the pace: a quarter of the time after which either side gives up. */
  snapshotPauseMsMax: 7_500,
  snapshotStallTimeoutMs: 30_000,
  /** Bytes of chunks that were received and not yet taken by the node. Above this, the connection is not read. */
  snapshotUnreadBytesMax: 1024 * 1024,
  /** A received state may exceed its announced size by this factor and this many bytes: sizes on disk are estimates. */
  snapshotEstimateFactor: 16,
  snapshotEstimateSlackBytes: 256 * 1024 * 1024,
  /** Free disk space that receiving a state must leave, and the number of received bytes between two checks. */
  snapshotDiskReserveBytes: 256 * 1024 * 1024,
  snapshotDiskCheckBytes: 32 * 1024 * 1024,
  /** The time from the last chunk until the receiver must have installed the state. */
  snapshotInstallTimeoutMs: 600_000,

  segmentBytes: 64 * 1024 * 1024,
  /** A log file has room for this many of the largest values, whatever size was configured. */
  segmentValuesMin: 4,
  /**
   * Log files beyond those that the log needs until it is purged: entries that arrive during the purge, and files that are
   * prepared or freed.
   */
  logFilesSpare: 8,
  /** Open files of one database of the state: the least, and the number when the process has enough descriptors. */
  stateFilesMin: 28,
  stateFilesMax: 1_024,
  /** Descriptors of the process itself: the runtime, listeners, vote and watermark, the lock, files that are being replaced. */
  processDescriptors: 40,
  /**
   * The log's index holds one position for this many bytes; for more bytes when the log is so long that `logSpansMax` would be
   * exceeded.
   */
  logSpanBytes: 32 * 1024,
  logSpansMax: 65_536,
  /** Recent batches kept in memory for replication. */
  logCacheBytesMax: 32 * 1024 * 1024,
  /** Bytes that reads of single keys may have in progress, if each value has the largest size; and the number of such reads. */
  rowsReadBytesMax: 256 * 1024 * 1024,
  rowsReadMax: 1024,
  /** Hot rows kept in memory: two thirds of it for small ones. */
  recordCacheBytesMax: 192 * 1024 * 1024,

  /** Executing entries: the most commands whose rows are looked up together, and the bytes of rows after which they are executed. */
  applySegmentCommandsMax: 1024,
  applyLoadBytesMax: 16 * 1024 * 1024,
  /** Rows that are loaded from the store at a time: their size is unknown before. */
  rowsLoadedAtOnceMax: 32,
  /** Commands executed and rows changed before other work of the process gets its turn. */
  applyTurnWorkMax: 2048,
  /** Changes that are gathered for one write to the store. */
  applyGatherBytesMax: 1024 * 1024,
  applyGatherRowsMax: 2048,
  /**
   * Changes that may wait for the store before execution pauses. The rows go to the store in one batch, which takes the event loop about 3
   * microseconds for each row: what has gathered, plus the most that one command adds, stays far below a heartbeat.
   */
  applyWaitingBytesMax: 64 * 1024 * 1024,
  applyWaitingRowsMax: 4096,
  /** Calls to the store for single rows at one time: enough to keep a disk busy. */
  rowCallsMax: 4,
  /** Rows of one read of an iterator, whatever their size, and the least number to which many walks at once reduce that. */
  rowsReadAtOnceMax: 512,
  rowsReadAtOnceMin: 4,
  /** Keys of one such read. */
  keysReadAtOnceMax: 256,
  /** Bytes of a read that may be kept until the next one, besides a single row. */
  rowsHeldBytesMax: 1024 * 1024,
  /**
   * Bytes that the reads of all walks together may return when rows of the largest size follow small ones: their size is known only after
   * a read.
   */
  rowsSurpriseBytesMax: 256 * 1024 * 1024,
  /** More buffers than `WriteGate` ever allows, so RocksDB itself never stops a writer because of their number. */
  writeBuffersMax: 64,

  /** Files of the state that are not compacted yet. Writers wait above this, which is below the 36 at which RocksDB would stop them. */
  stateFilesUnmergedMax: 28,
  /** A write or flush of the state that takes this long is examined, and examined again after the same time. */
  storeSlowMs: 5_000,
  /** Free disk space needed in addition to the rows in memory. With less, a store that does not answer is assumed to wait for space. */
  stateFreeBytesMin: 1024 * 1024,
  /**
   * What stays free on the disk of a node that was given no reserve (node/space/room.ts): room for one flush and for one compaction beside the
   * files of the log, at most this share of the disk. Free space is looked up that often, while much is free and while little is. What the leader
   * has said about the disks of the cluster holds for `verdictMs`. The states of nodes whose disks are short are compacted with such a pause at
   * least, and so many times as long as it took.
   */
  diskReserve: {
    flushBytes: 192 * 1024 * 1024,
    compactionBytesMax: 768 * 1024 * 1024,
    shareMax: 0.5,
    farMs: 5_000,
    nearMs: 500,
    verdictMs: 30_000,
    reclaimPauseMs: 5_000,
    reclaimPauseFactor: 4,
  },
  /** The largest `--disk-reserve`. */
  diskReserveBytesMax: 1024 * 1024 ** 3,
  /** A compaction that frees space works on so many parts of the state at most, found with so many looks at their sizes. */
  compactionPartsMax: 1024,
  compactionLooksMax: 16_384,
  /** Free bytes that it leaves. */
  compactionSpareBytes: 8 * 1024 * 1024,
  /** How long closing a store may take after a fault. */
  failedStoreCloseMsMax: 2_000,
  /** How long a process may take to exit after a fault before it is killed. */
  leaveMsMax: 5_000,

  /** Size of one append to a follower; a larger batch is sent alone. */
  appendBytesMax: 1024 * 1024,
  appendEntriesMax: 8192,
  /** Unanswered appends to one follower. */
  inflightAppendsMax: 64,
  inflightBytesMax: 16 * 1024 * 1024,
  /** Bytes of uncommitted entries. Above this, a leader refuses proposals. */
  uncommittedBytesMax: 64 * 1024 * 1024,
  /** A learner within this many entries of the leader's last one counts as caught up. */
  caughtUpEntriesMax: 1000,

  /** A file of settings, which are a tenth of this, on one level. */
  configFileBytesMax: 64 * 1024,
  configFileLevelsMax: 16,
  /** Bytes of log lines that wait for the reader of a full pipe. Further lines are dropped. */
  logWaitingBytesMax: 1024 * 1024,
  /** How often a full pipe is retried, and how long the process waits for it at its end. */
  logRetryMs: 20,
  logFlushMsMax: 500,
  /** Bytes of the last log lines, which are kept for whoever asks for them, and of one of these. A longer one is kept without its facts. */
  logRecentBytesMax: 256 * 1024,
  logRecentLineBytesMax: 16 * 1024,

  /**
   * An answer that a client reads whole: the records that a transaction may read (`transaction`), in which JSON may need six characters for
   * each byte of a value or a key, and space for the rest of 128,000 of them. A page of a listing is smaller.
   */
  clientAnswerBytesMax: 6 * 64 * 1024 * 1024 + 32 * 1024 * 1024,
  /** Headers of an answer: a redirection repeats the whole request line. */
  clientHeaderBytesMax: 64 * 1024,
  /** The token that a client sends. Gateways want far shorter ones than a node, which takes `httpHeaderBytesMax` of all headers together. */
  clientTokenBytesMax: 16 * 1024,
  /** What a client reads of a file, or sends of a stream of records, at a time. */
  clientPieceBytes: 256 * 1024,
  /** One line or event of a stream that a client reads: a change of the largest value and the value before, in which JSON may need six
   * characters for each byte. */
  clientLineBytesMax: 6 * 2 * 16 * 1024 * 1024 + 1024 * 1024,
  /**
   * Connections of a client to one server, for ordinary requests and for renewals of leases each. Requests beyond that wait. Streams and other
   * long requests have connections of their own.
   */
  clientSocketsMax: 16,
  /** The longest time that a timer of Node holds. */
  timerMsMax: 2 ** 31 - 1,
  /** The pause before a client asks servers again that did not serve: the first, and the longest. */
  clientPauseMsMin: 50,
  clientPauseMsMax: 1_000,
  /** How long a client asks no server for the leader after the leader's address did not answer. */
  clientLeaderRestMs: 30_000,
  /** How long a client asks the other servers first after one gave no answer. */
  clientServerRestMs: 30_000,
  /** A server that says nothing for this long on a stream is given up. It sends something every 15 s. */
  clientStreamSilenceMsMax: 45_000,
  /** How long one request of a client for a lock waits for its turn: the most that a server takes. */
  clientLockWaitMsMax: 60_000,

  /** `quorate lock`: how long after a signal another one of its kind is taken for the same, and how long it waits to see whether the group got it too. */
  sameSignalMs: 500,
  signalPauseMs: 150,
  /** How long a command that was told to end waits for the reader of its output. */
  outputRestMsMax: 1_000,

  /** How long one request of `quorate check consistency` may take. A node that hangs is asked again after that. */
  checkRequestMsMax: 1_500,
  /** How long a check may be asked to last. */
  checkMsMax: 10 * 60_000,
  /** Clients of a check on each node. */
  checkClientsMax: 32,
  /** `quorate check consistency` judges its history in rounds of at most this many operations and this much time, each on keys of its own. */
  checkRoundOperationsMax: 2_000,
  checkRoundMsMax: 5_000,
  /** Steps of the search for an order of the operations on one key. It remembers each of them. */
  checkStepsMax: 200_000,
  /** How long `quorate check perf` may write. It keeps how long each write took. */
  checkPerfMsMax: 60_000,
  /** Bytes of the files in an archive of `quorate diagnose`, before they are compressed. It is made in memory. */
  diagnoseBytesMax: 64 * 1024 * 1024,
} as const
