import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { StorageError } from '../../lib/errors.ts'
import type { LogIndex } from '../../raft/index.ts'
import type { LogFiles } from './files.ts'
import { segmentNumber, UUID_BYTES } from './format.ts'
import { HARD_STATE_FILES, HardStateFiles, unreadableVote } from './hard-state.ts'
import { LogScan } from './scan.ts'
import { createWhole } from './slot.ts'
import { type Watermark, WATERMARK_FILE, WatermarkFile } from './watermark.ts'

/** A log as it was found, and what must be written before it may be used. */
export interface RecoveredLog {
  readonly hardState: HardStateFiles
  readonly watermarkFile: WatermarkFile
  readonly salt: number
  readonly scan: LogScan
  readonly lostUpTo: LogIndex | null
  /** Entries from here on are in doubt and must be truncated; null for none. */
  readonly truncateFrom: LogIndex | null
  /** The first sequence number that no record has, not even one that was cut off. */
  readonly nextSequence: number
  readonly findings: string[]
}

/** Lists the directory. Removes the remains of an interrupted creation, and refuses files that are not the log's. */
async function listLog(directory: string, files: LogFiles): Promise<{ names: string[]; numbers: number[] }> {
  const names: string[] = []
  const numbers: number[] = []
  const known: readonly string[] = [...HARD_STATE_FILES, WATERMARK_FILE]
  for (const name of await files.list(directory)) {
    const whole = name.endsWith('.tmp') ? name.slice(0, -4).replace(/\.freed$/, '') : name
    const number = segmentNumber(whole)
    if (number === null && !known.includes(whole)) {
      throw new StorageError(
        'refused',
        `${join(directory, name)} is not a file of the log. Nothing else may lie in this directory: move the file away, ` +
          'or start the node with the right data directory.',
      )
    }
    if (name !== whole) await files.remove(join(directory, name))
    else if (number === null) names.push(name)
    else numbers.push(number)
  }
  return { names, numbers: numbers.toSorted((a, b) => a - b) }
}

async function openHardState(
  directory: string,
  found: { names: readonly string[]; numbers: readonly number[] },
  files: LogFiles,
  findings: string[],
  randomBytes: (count: number) => Buffer,
): Promise<HardStateFiles> {
  const isNew = found.numbers.length === 0 && !found.names.some((name) => name !== WATERMARK_FILE)
  if (isNew) return HardStateFiles.create(directory, randomBytes(UUID_BYTES), files)
  return HardStateFiles.open(directory, found.names, files, findings)
}

/** Opens, checks and repairs everything except the tail of the log, whose repair needs a new record. */
export async function recoverLog(
  directory: string,
  files: LogFiles,
  randomBytes: (count: number) => Buffer,
  signal?: AbortSignal,
): Promise<RecoveredLog> {
  const findings: string[] = []
  await files.makeDirectory(directory)
  const found = await listLog(directory, files)
  const hadWatermark = found.names.includes(WATERMARK_FILE)
  // The watermark is created first. If it is missing beside any other file, it was damaged, not left out by an interrupted creation.
  if (!hadWatermark) await createWhole(files, directory, WATERMARK_FILE, WatermarkFile.blank())
  const hardState = await openHardState(directory, found, files, findings, randomBytes)
  const { file: watermarkFile, watermark } = await WatermarkFile.open(directory, hardState.uuid, files)
  if (watermark !== null && watermark.hardStateSequence > hardState.sequence) {
    throw unreadableVote(directory, 'the remaining copy is older than the last acknowledged one')
  }

  const salt = crc32(hardState.uuid)
  const { numbers } = found
  const purged = watermark?.purged ?? null
  const scan = new LogScan({ directory, uuid: hardState.uuid, salt, numbers, purged, signal }, files)
  await scan.run()
  findings.push(...scan.findings)
  await files.syncDirectory(directory)
  const started = scan.sequence > 0 || hardState.sequence > 1
  if (started && watermark === null) {
    findings.push(
      'The watermark is missing or damaged, so nothing shows whether acknowledged entries are missing at the end of the log.',
    )
  }
  if (numbers.length === 0 && watermark === null && hardState.sequence > 1) {
    throw new StorageError(
      'refused',
      `The log in ${directory} holds a vote but no segments: they were deleted, and nothing says how far they went. ` +
        'Remove this node from the cluster and add it again with an empty directory; it may keep its id. ' +
        'In a cluster of one node, put a copy of the whole directory back.',
    )
  }
  const loss = assessLoss(scan, watermark, findings)
  const nextSequence = Math.max(scan.sequence, scan.witnesses.highestSequence, watermark?.sequence ?? 0) + 1
  if (loss.lostUpTo !== null) {
    // The next writes erase the evidence of the damage, so the lost entries must be recorded first. The session record and the
    // truncation have the next sequence numbers. Until they are durable, the log is behind this mark, and the next opening
    // arrives here again.
    await watermarkFile.writeThrough({
      sequence: loss.truncateFrom === null ? nextSequence : nextSequence + 1,
      hardStateSequence: hardState.sequence,
      last: scan.outline.last,
      purged: scan.outline.purged,
      lostUpTo: loss.lostUpTo,
    })
  }
  return { hardState, watermarkFile, salt, scan, ...loss, nextSequence, findings }
}

/** Compares the content of the log with what was acknowledged. */
function assessLoss(
  scan: LogScan,
  watermark: Watermark | null,
  findings: string[],
): { lostUpTo: LogIndex | null; truncateFrom: LogIndex | null } {
  const { outline, witnesses } = scan
  const owed = watermark?.lostUpTo ?? -1
  const isBehind = watermark !== null && watermark.sequence > scan.sequence
  if (!isBehind && !scan.damaged) {
    return { lostUpTo: owed > outline.lastIndex ? (owed as LogIndex) : null, truncateFrom: null }
  }
  const acknowledged = watermark?.last?.index ?? -1
  const known = Math.max(owed, witnesses.highestIndex, acknowledged)
  if (known >= 0 && known <= outline.purgedIndex) return { lostUpTo: null, truncateFrom: null }
  const upTo = Math.max(known, outline.purgedIndex + 1) as LogIndex
  findings.push(`Entries up to ${upTo} were acknowledged, but not all of them are left.`)
  // The lost write may have replaced entries that are still here. With the entry at `upTo` missing, the log counts as complete
  // only when a leader has sent that entry, and has thereby checked all entries before it.
  const truncateFrom = upTo <= outline.lastIndex ? upTo : null
  if (truncateFrom !== null) scan.truncate(truncateFrom)
  return { lostUpTo: upTo, truncateFrom }
}
