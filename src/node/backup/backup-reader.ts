import { FEATURE_LEVEL, keyspaceOf, UnreadableStateError } from '../../kv/index.ts'
import type { StateInstall, StateRow } from '../../ports/state-store.ts'
import { MembershipError } from '../codec/membership-codec.ts'
import type { StateMeta } from '../codec/state-meta.ts'
import { logIdView } from '../membership/api-views.ts'
import { metaOfReceived } from '../snapshots/received-meta.ts'
import { StateReceiver, StateStreamError } from '../snapshots/state-stream.ts'
import { BlockReader, type Block } from './block-reader.ts'
import { BACKUP_FORMAT, BackupError, headerFrom, type BackupHeader, type BlockKind } from './format.ts'

/** A backup that was read to its end, and is sound. */
export interface Backup {
  readonly format: number
  readonly header: BackupHeader
  readonly meta: StateMeta
  readonly bytes: number
  readonly keys: number
  readonly rows: number
  /** Over the rows. Backups of the same state have the same one. */
  readonly checksum: number
}

export interface BackupReaderOptions {
  readonly idempotentWritesMax: number
}

type Sink = Pick<StateInstall, 'write'>

/** The first byte of the chunk in each block that has one. */
const chunkKinds: Readonly<Partial<Record<BlockKind, number>>> = { meta: 0, rows: 1, trailer: 2 }

/**
 * Reads a backup, checks all of it, and hands the rows to `sink` as they come. They are good for nothing before this resolves. Rejects with
 * `BackupError`, or with the error of the source or of the sink.
 */
export async function readBackup(
  pieces: AsyncIterable<Uint8Array>,
  sink: Sink,
  options: BackupReaderOptions,
): Promise<Backup> {
  const reader = new BlockReader(pieces)
  try {
    await reader.prefix()
    const header = await readHeader(reader)
    return await readState(reader, header, sink, options)
  } finally {
    await reader.close()
  }
}

async function readHeader(reader: BlockReader): Promise<BackupHeader> {
  if (reader.isNewer) {
    const header = await reader.next().then(
      ({ body }) => headerFrom(body),
      () => null,
    )
    throw newer(`it has format ${reader.format}, and this version knows formats up to ${BACKUP_FORMAT}`, header)
  }
  const { kind, body, name } = await reader.next()
  const header = kind === 'header' ? headerFrom(body) : null
  if (header === null) throw new BackupError('unsound', `${name} does not say what the backup is`)
  const { featureLevel } = header
  if (featureLevel > FEATURE_LEVEL)
    throw newer(`it is at feature level ${featureLevel}, and this version knows levels up to ${FEATURE_LEVEL}`, header)
  return header
}

function newer(what: string, header: BackupHeader | null): BackupError {
  const which = header === null ? 'the version that wrote it' : `version ${header.version}, which wrote it,`
  return new BackupError('newer', `${what}: use ${which} or a later one`)
}

async function readState(
  reader: BlockReader,
  header: BackupHeader,
  sink: Sink,
  { idempotentWritesMax }: BackupReaderOptions,
): Promise<Backup> {
  const counter = new KeyCounter(sink)
  const receiver = new StateReceiver(counter)
  let block = await reader.next()
  for (; block.kind !== 'end'; block = await reader.next()) {
    const { body, kind } = block
    if (body[0] !== chunkKinds[kind]) throw new BackupError('unsound', `${block.name} is not what it says`)
    await asUnsound(block, async () => await receiver.accept(body))
  }
  const meta = await asUnsound(block, async () => metaOfReceived(receiver, idempotentWritesMax))
  const { revision, level } = meta.machine
  const isSame =
    JSON.stringify(header.logId) === JSON.stringify(logIdView(meta.applied)) &&
    header.revision === revision &&
    header.featureLevel === level
  if (!isSame) throw new BackupError('unsound', 'its description and its state name different log ids or revisions')
  const { bytes, format } = reader
  return { format, header, meta, bytes, keys: counter.keys, ...receiver.taken }
}

/** What is wrong with rows and counts that were written just so. */
async function asUnsound<T>({ name }: Block, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const isKnown =
      error instanceof StateStreamError || error instanceof UnreadableStateError || error instanceof MembershipError
    if (!isKnown) throw error
    throw new BackupError('unsound', `${name} is not what a node writes: ${error.message}`, { cause: error })
  }
}

class KeyCounter implements Sink {
  keys = 0
  private readonly sink: Sink

  constructor(sink: Sink) {
    this.sink = sink
  }

  async write(rows: readonly StateRow[]): Promise<void> {
    for (const { key } of rows) if (keyspaceOf(key) === 'records') this.keys += 1
    await this.sink.write(rows)
  }
}
