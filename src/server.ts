import { createHash, randomBytes, randomInt } from 'node:crypto'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { automationPlan } from './automation.ts'
import { readAtMost } from './config/bounded-file.ts'
import type { Config } from './config/config.ts'
import type { DescriptorShares } from './descriptors.ts'
import { buildApp } from './http/app.ts'
import { closeGracefully } from './http/protocol/closing.ts'
import type { Diagnostics } from './api/diagnostics.ts'
import type { Services } from './api/services.ts'
import { places } from './lib/address-error.ts'
import { deferred } from './lib/deferred.ts'
import { Histogram, STORAGE_SECONDS } from './lib/histogram.ts'
import { SeededRandom } from './lib/random.ts'
import { limits } from './limits.ts'
import { auditLogger } from './logger.ts'
import { advertisedAddresses, listenFor, nameOf, realPort } from './listening.ts'
import { openNode, type Node } from './node/node.ts'
import type { NodeDependencies, NodeOptions } from './node/options.ts'
import { nodeId, type NodeAddresses } from './raft/index.ts'
import { formatHostPort, parseHostPort, type HostPort } from './lib/host-port.ts'
import { Repeats } from './lib/repeats.ts'
import { SlowLog } from './lib/slow-log.ts'
import { traceFacts } from './lib/trace-context.ts'
import { openDataDirectory, type DataDirectory } from './storage/identity.ts'
import { DamagedStateError } from './storage/rocksdb/binding.ts'
import { setStateAside } from './storage/rocksdb/generations.ts'
import { RocksStateStore } from './storage/rocksdb/rocks-state-store.ts'
import { WalLogStore } from './storage/wal/wal-log-store.ts'
import { systemClock } from './system-clock.ts'
import { Keyring } from './tls/keyring.ts'
import { longestPauseMs } from './transport/pace.ts'
import { TcpTransport } from './transport/tcp.ts'
import { version } from './version.ts'

export interface ServerDependencies {
  readonly logger: Logger
  readonly shares: DescriptorShares
  /** Aborting it ends a start at its next step; everything that was opened is closed. */
  readonly signal?: AbortSignal
  /** For the metrics. */
  readonly logLinesDropped?: () => number
  /** What the node tells of itself for the report of a fault; left out: nothing. */
  readonly diagnostics?: Diagnostics
}

/** A running node with its API. */
export interface Server {
  /** The addresses at which clients and peers reach the node. */
  readonly addresses: NodeAddresses
  /**
   * Resolves when the node cannot go on: with a `StorageError` after a storage fault, else with the error that broke it. The
   * node answers nothing any more, and its process should end without writing to the disk or speaking to its peers.
   */
  readonly fault: Promise<Error>
  /** Reads the files of TLS at once. Those that are of no use change nothing, and are shown in the log and by `GET /cluster`. */
  reloadCertificates(): Promise<void>
  /**
   * Stops gracefully: finishes running requests, hands over leadership, closes the stores. Takes no longer than configured;
   * `late` when something was not done in that time.
   */
  stop(): Promise<'stopped' | 'late'>
}

const nothingTold: Diagnostics = { settings: [], log: { lines: [], forgotten: 0 } }

/** The share of the time for stopping after which the remaining requests are cut off. */
const drainShare = 0.5

/**
 * Starts a node on its data directory and connects its parts. Rejects when the node must not or cannot start, and leaves
 * nothing open. `StorageError`: the fault is in the directory, its contents or the disk. `AddressError`: in an address.
 */
export async function startServer(config: Config, dependencies: ServerDependencies): Promise<Server> {
  try {
    return await startOnce(config, dependencies)
  } catch (error) {
    if (!(error instanceof DamagedStateError)) throw error
    // The state is rebuilt from the log. If the log no longer reaches back to the beginning, the second start refuses and says so.
    dependencies.logger.error(
      { err: error },
      'state damaged; setting it aside as state.damaged and rebuilding it from the log',
    )
    await setStateAside(stateDirectoryOf(config.dataDirectory))
    return await startOnce(config, dependencies)
  }
}

async function startOnce(config: Config, dependencies: ServerDependencies): Promise<Server> {
  const { logger, shares } = dependencies
  const keyring = await openKeyring(config, logger)
  const opened: (() => Promise<void>)[] = [async () => keyring.close()]
  try {
    const directory = await openDataDirectory(config.dataDirectory, { nodeId: nodeId(config.id) })
    opened.push(async () => await directory.close())
    return await startNode({ config, shares, directory, keyring }, dependencies, opened)
  } catch (error) {
    for (const close of opened.reverse())
      await close().catch((second: unknown) => logger.warn({ err: second }, 'close failed'))
    throw error
  }
}

interface Start {
  readonly config: Config
  readonly shares: DescriptorShares
  readonly directory: DataDirectory
  readonly keyring: Keyring
}

/** The files of TLS are checked before anything else is opened. */
async function openKeyring(config: Config, logger: Logger): Promise<Keyring> {
  const { tlsCert, tlsKey, tlsClientCa, peerTlsCert, peerTlsKey, peerTlsCa } = config
  const apiHost = parseHostPort(config.apiAdvertise?.address ?? '')?.host ?? nameOf(config.api)
  const peerHost = parseHostPort(config.raftAdvertise ?? '')?.host ?? nameOf(config.raft)
  const api = tlsCert === null || tlsKey === null ? null : { cert: tlsCert, key: tlsKey, ca: tlsClientCa }
  const peer =
    peerTlsCert === null || peerTlsKey === null ? null : { cert: peerTlsCert, key: peerTlsKey, ca: peerTlsCa }
  return await Keyring.open(
    {
      api: api === null ? null : { plane: 'api', paths: api, host: apiHost },
      peer: peer === null ? null : { plane: 'peer', paths: peer, host: peerHost },
    },
    {
      logger,
      now: () => Date.now(),
      onUnexpected: (error) => logger.error({ err: error }, 'certificate files could not be checked'),
    },
  )
}

/** Every part that was started adds its way of stopping to `opened`, in order. */
async function startNode(
  start: Start,
  { logger, signal, logLinesDropped = () => 0, diagnostics = nothingTold }: ServerDependencies,
  opened: (() => Promise<void>)[],
): Promise<Server> {
  const { config, shares, directory, keyring } = start
  signal?.throwIfAborted()
  const listen = { api: await realPort(places.api, config.api), raft: await realPort(places.raft, config.raft) }
  const addresses = advertisedAddresses(config, listen, logger)
  const fault = deferred<Error>()
  const slow = slowLogOf(config, logger)
  const audit = auditLogger(logger)
  opened.push(async () => slow?.close())
  const dependencies = nodeDependencies(start, listen.raft, { logger, audit, signal, slow }, fault.resolve)
  const node = await openOrClose(nodeOptions(start, addresses), dependencies)
  opened.push(async () => await node.stop({ transfer: false }))
  signal?.throwIfAborted()

  const { valueBytesMax } = config
  const certificates = () => keyring.views
  const services: Services = { ...node.services, valueBytesMax, logLinesDropped, diagnostics, certificates }
  const mistaken = new Repeats({ intervalMs: limits.complaintLogIntervalMs, causesMax: 1 }, () => systemClock.now())
  const app = buildApp(
    {
      now: () => systemClock.now(),
      onUnexpected: (error, request, span) =>
        logger.error({ err: error, ...request, ...traceFacts(span) }, 'request failed unexpectedly'),
      slow,
      onFatal: fault.resolve,
      origins: config.apiOrigins,
      connections: { max: shares.httpConnections },
      onConnectionsRefused: (reason) => logger.warn(describeRefused(reason), 'client connections refused'),
      onClientMistaken: (detail, remote) => {
        // Strangers choose what the detail says, so all of them share one line.
        const times = mistaken.add('client')
        if (times !== null) logger.warn({ remote, detail, times }, 'client refused')
      },
      tls: keyring.api,
      onAudit: (line) => audit.info({ audit: line }, 'audit'),
      bootstrapSecret: async () => await bootstrapSecretOf(config),
    },
    services,
  )
  opened.push(async () => await closeGracefully(app, 0))
  await listenFor(app, listen.api)
  logger.info(
    { ...addresses, version, dataDirectory: config.dataDirectory, incarnation: directory.incarnation },
    'ready to serve',
  )

  let stopped: Promise<'stopped' | 'late'> | null = null
  return {
    addresses,
    fault: fault.promise,
    reloadCertificates: async () => await keyring.reload(),
    stop: async () => {
      stopped ??= stopWithin(config.shutdownTimeoutMs, logger, async () => {
        node.endWaits()
        await closeGracefully(app, config.shutdownTimeoutMs * drainShare)
        await node.stop({ transfer: true })
        await directory.close()
        keyring.close()
        slow?.close()
      })
      return await stopped
    },
  }
}

function stateDirectoryOf(dataDirectory: string): string {
  return join(dataDirectory, 'state')
}

async function openOrClose(options: NodeOptions, dependencies: NodeDependencies): Promise<Node> {
  try {
    return await openNode(options, dependencies)
  } catch (error) {
    const { transport, state, log } = dependencies
    // Some of these are not open yet. Their errors matter less than the reason for the refusal.
    await transport.stop().catch(() => undefined)
    await state.close().catch(() => undefined)
    await log.close().catch(() => undefined)
    throw error
  }
}

async function stopWithin(timeoutMs: number, logger: Logger, stop: () => Promise<void>): Promise<'stopped' | 'late'> {
  const late = deferred<'late'>()
  const timer = setTimeout(() => late.resolve('late'), timeoutMs)
  try {
    const outcome = await Promise.race([stop(), late.promise])
    if (outcome !== 'late') return 'stopped'
    // This is safe: everything that was acknowledged is already on the disk.
    logger.warn({ timeoutMs }, 'not stopped in time; exiting anyway')
    return outcome
  } finally {
    clearTimeout(timer)
  }
}

function nodeOptions({ config, shares, directory }: Start, addresses: NodeAddresses): NodeOptions {
  const { electionTimeoutMs } = config
  return {
    id: nodeId(config.id),
    addresses,
    incarnation: directory.incarnation,
    version,
    clusterToken: config.clusterToken,
    heartbeatMs: config.heartbeatMs,
    electionTimeoutMsMin: electionTimeoutMs.min,
    electionTimeoutMsMax: electionTimeoutMs.max,
    leaderPriority: config.leaderPriority,
    appendBytesMax: limits.appendBytesMax,
    appendEntriesMax: limits.appendEntriesMax,
    inflightAppendsMax: limits.inflightAppendsMax,
    inflightBytesMax: limits.inflightBytesMax,
    transferBytesPerMsMin: limits.diskBytesPerMsMin,
    uncommittedBytesMax: limits.uncommittedBytesMax,
    batchEntriesMax: limits.batchEntriesMax,
    batchBytesMax: limits.batchBytesMax,
    caughtUpEntriesMax: limits.caughtUpEntriesMax,
    purgeEveryEntries: config.purgeEveryEntries,
    purgeEveryBytes: config.purgeEveryBytes,
    keepEntries: config.keepEntries,
    keepBytes: config.keepBytes,
    snapshotHoldMs: config.snapshotHoldMs,
    snapshotHoldBytes: shares.snapshotHoldBytes,
    watchersMax: shares.watchers,
    snapshotBytesPerSecondMax: config.snapshotBytesPerSecondMax,
    snapshotChunkBytes: limits.snapshotChunkBytes,
    diskReserveBytes: config.diskReserveBytes,
    segmentBytes: segmentBytesOf(config),
    historyRetention: {
      revisions: config.historyRevisions,
      ageMs: config.historyAgeMs,
      bytes: config.historyBytes,
    },
    recordCacheBytesMax: limits.recordCacheBytesMax,
    rowsReadMax: Math.min(limits.rowsReadMax, Math.floor(limits.rowsReadBytesMax / config.valueBytesMax)),
    idempotentWritesMax: limits.idempotentWritesMax,
    keptValues: limits.keptValues,
    rangeDeleteKeysMax: limits.rangeDeleteKeysMax,
    history: limits.history,
    leases: limits.leases,
    transaction: limits.transaction,
  }
}

/** Files have room for several of the largest values. Otherwise the writer would wait until the disk has filled a new file. */
function segmentBytesOf({ segmentBytes, valueBytesMax }: Config): number {
  return Math.max(segmentBytes, limits.segmentValuesMin * valueBytesMax)
}

/** Null: no request is called slow. */
function slowLogOf({ slowRequestMs: thresholdMs }: Config, logger: Logger): SlowLog | null {
  if (thresholdMs === 0) return null
  const { slowRequestLinesMax: linesMax, slowRequestIntervalMs: intervalMs } = limits
  return new SlowLog({ thresholdMs, linesMax, intervalMs }, { clock: systemClock, logger })
}

interface NodeSurroundings {
  readonly logger: Logger
  readonly audit: Logger
  readonly signal: AbortSignal | undefined
  readonly slow: SlowLog | null
}

function nodeDependencies(
  { config, shares, directory, keyring }: Start,
  listen: HostPort,
  { logger, audit, signal, slow }: NodeSurroundings,
  onFault: (error: Error) => void,
): NodeDependencies {
  const logSyncSeconds = new Histogram(STORAGE_SECONDS)
  const random = new SeededRandom(randomBytes(4).readUInt32LE())
  // Discovery by DNS finds bare addresses, which certificates seldom name.
  const sharedName = config.discover?.kind === 'dns' ? config.discover.name : null
  const transport = new TcpTransport(
    {
      id: nodeId(config.id),
      listen: formatHostPort(listen),
      limits: {
        reconnectDelayMsMax: longestPauseMs(config.electionTimeoutMs.max),
        peerConnectionsMax: shares.peerConnections,
      },
    },
    {
      clock: systemClock,
      random,
      logger,
      tls: keyring.peer === null ? null : { source: keyring.peer, sharedName },
    },
  )
  return {
    log: new WalLogStore(
      {
        directory: join(directory.path, 'log'),
        segmentBytes: segmentBytesOf(config),
        cacheBytesMax: limits.logCacheBytesMax,
      },
      {
        onSync: (durationMs) => logSyncSeconds.record(durationMs / 1000),
        onFinding: (finding) => logger.warn({ finding }, 'log problem found'),
        signal,
      },
    ),
    noteLog: async () => await directory.noteLog(),
    state: new RocksStateStore(
      {
        directory: stateDirectoryOf(directory.path),
        openFilesMax: shares.stateFiles,
        rowBytesMax: config.valueBytesMax,
      },
      { onSlow: (call) => logger.warn(call, 'state store slow; waiting, since the disk has room') },
    ),
    transport,
    warnings: () => [...keyring.warnings, ...transport.warnings],
    clock: systemClock,
    random,
    peers: directory.peers,
    formation: directory.formation,
    backups: directory.backups,
    logger,
    audit: { tell: (change) => audit.info({ audit: change }, 'audit') },
    hash: (text) => createHash('sha256').update(text).digest('hex'),
    hashKey: [randomInt(2 ** 32), randomInt(2 ** 32)],
    automation: automationPlan(config),
    diskUsage: async () => {
      const { blocks, bavail, bsize } = await statfs(config.dataDirectory)
      return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
    },
    logSyncSeconds,
    slow,
    onFault,
  }
}

/** Read anew each time: the file is there for the first minutes of a cluster only. */
async function bootstrapSecretOf({ authBootstrapFile: file }: Config): Promise<string | null> {
  if (file === null) return null
  return (await readAtMost(file, limits.auth.bootstrapSecretBytesMax)).toString('utf8').trim()
}

function describeRefused(reason: number | Error): object {
  return typeof reason === 'number' ? { refused: reason, reason: 'too many are open' } : { reason: reason.message }
}
