import { join } from 'node:path'
import { assert } from '../../lib/assert.ts'
import { StorageError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { HardState } from '../../ports/log-store.ts'
import type { NodeId, Term } from '../../raft/index.ts'
import type { LogFiles } from './files.ts'
import { readU53, writeU53 } from './format.ts'
import { blankSlot, createWhole, isIntactSlot, sealSlot, SLOT_BODY_AT, SLOT_BYTES, slotUuid } from './slot.ts'

export const HARD_STATE_FILES = ['hard-state-a', 'hard-state-b'] as const
const MAGIC = 'QRMVOTE\n'
const CLUSTER_ID_AT = SLOT_BODY_AT + 32
const INITIAL: HardState = { vote: { leaderId: { term: 0 as Term, nodeId: 0 }, committed: false }, clusterId: null }

/** The content of one file. `sequence` counts the changes, from 1. */
interface Slot {
  readonly uuid: Buffer
  readonly sequence: number
  readonly state: HardState
}

/**
 * The vote, in two files. Each change is written to both, one after the other. If one of them rots or is torn by a crash, the
 * other has the last acknowledged change, or a later one that was being written.
 */
export class HardStateFiles {
  readonly uuid: Buffer
  readonly directory: string
  private readonly files: LogFiles
  private readonly fds: number[] = []
  private current: Slot

  private constructor(slot: Slot, directory: string, files: LogFiles) {
    this.uuid = slot.uuid
    this.current = slot
    this.directory = directory
    this.files = files
  }

  get state(): HardState {
    return this.current.state
  }

  get sequence(): number {
    return this.current.sequence
  }

  /** Creates both files for a new log. */
  static async create(directory: string, uuid: Buffer, files: LogFiles): Promise<HardStateFiles> {
    const slot = { uuid, sequence: 1, state: INITIAL }
    for (const name of HARD_STATE_FILES) await createWhole(files, directory, name, encode(slot))
    const hardState = new HardStateFiles(slot, directory, files)
    await hardState.openFiles()
    return hardState
  }

  /** Reads both files and writes both again, starting with the one that is missing, damaged or older. Refuses when neither can be read. */
  static async open(
    directory: string,
    names: readonly string[],
    files: LogFiles,
    findings: string[],
  ): Promise<HardStateFiles> {
    const slots = await Promise.all(
      HARD_STATE_FILES.map(async (name) => (names.includes(name) ? readSlot(files, join(directory, name)) : null)),
    )
    const intact = slots.filter((slot) => slot !== null)
    const newest = intact.reduce<Slot | null>(
      (best, slot) => (best === null || slot.sequence > best.sequence ? slot : best),
      null,
    )
    if (newest === null)
      throw unreadableVote(directory, 'both copies of it (hard-state-a and hard-state-b) are damaged or missing')
    if (intact.some((slot) => !slot.uuid.equals(newest.uuid))) {
      throw new StorageError(
        'refused',
        `hard-state-a and hard-state-b in ${directory} belong to two different logs. Restore the directory as it was, ` +
          'or remove this node from its cluster and add it again with an empty directory; it may keep its id.',
      )
    }
    for (const [i, name] of HARD_STATE_FILES.entries()) {
      const slot = slots[i] ?? null
      if (slot !== null && slot.sequence === newest.sequence) continue
      const reason = slot === null ? (names.includes(name) ? 'damaged' : 'missing') : 'behind'
      findings.push(`${name} was ${reason} and was rewritten from the other copy of the vote.`)
      await createWhole(files, directory, name, encode(newest))
    }
    const hardState = new HardStateFiles(newest, directory, files)
    await hardState.openFiles()
    // The slots that were read may exist in memory only: the last write may have been interrupted, or have failed.
    await hardState.writeSlot(newest)
    return hardState
  }

  async write(state: HardState): Promise<void> {
    const slot = { uuid: this.uuid, sequence: this.current.sequence + 1, state }
    await this.writeSlot(slot)
    this.current = slot
  }

  private async writeSlot(slot: Slot): Promise<void> {
    const content = encode(slot)
    for (const fd of this.fds) await this.files.write(fd, [content], 0)
  }

  private async openFiles(): Promise<void> {
    for (const name of HARD_STATE_FILES) this.fds.push(await this.files.open(join(this.directory, name), 'existing'))
  }
}

export function unreadableVote(directory: string, what: string): StorageError {
  return new StorageError(
    'refused',
    `The vote of this node in ${directory} cannot be read: ${what}. Voting without it could elect two leaders in one term. ` +
      'Remove this node from the cluster and add it again with an empty directory; it may keep its id. ' +
      'In a cluster of one node, put a copy of the whole directory back.',
  )
}

async function readSlot(files: LogFiles, path: string): Promise<Slot | null> {
  const fd = await files.openUnsynced(path)
  try {
    const slot = Buffer.alloc(SLOT_BYTES)
    const count = await files.read(fd, slot, 0)
    return decode(slot.subarray(0, count), path)
  } finally {
    await files.close(fd)
  }
}

function encode({ uuid, sequence, state }: Slot): Buffer {
  const slot = blankSlot(MAGIC, uuid)
  const clusterId = Buffer.from(state.clusterId ?? '', 'utf8')
  assert(clusterId.length <= limits.clusterIdBytesMax, 'a cluster id fits its slot')
  writeU53(slot, sequence, SLOT_BODY_AT)
  writeU53(slot, state.vote.leaderId.term, SLOT_BODY_AT + 8)
  slot.writeUInt32LE(state.vote.leaderId.nodeId, SLOT_BODY_AT + 16)
  slot.writeUInt8(state.vote.committed ? 1 : 0, SLOT_BODY_AT + 20)
  slot.writeUInt8(state.clusterId === null ? 0 : 1, SLOT_BODY_AT + 21)
  slot.writeUInt16LE(clusterId.length, SLOT_BODY_AT + 22)
  clusterId.copy(slot, CLUSTER_ID_AT)
  return sealSlot(slot)
}

function decode(slot: Buffer, path: string): Slot | null {
  if (!isIntactSlot(slot, MAGIC, path)) return null
  const leaderId = {
    term: readU53(slot, SLOT_BODY_AT + 8) as Term,
    nodeId: slot.readUInt32LE(SLOT_BODY_AT + 16) as NodeId | 0,
  }
  const clusterId = slot.toString('utf8', CLUSTER_ID_AT, CLUSTER_ID_AT + slot.readUInt16LE(SLOT_BODY_AT + 22))
  return {
    uuid: slotUuid(slot),
    sequence: readU53(slot, SLOT_BODY_AT),
    state: {
      vote: { leaderId, committed: slot.readUInt8(SLOT_BODY_AT + 20) === 1 },
      clusterId: slot.readUInt8(SLOT_BODY_AT + 21) === 1 ? clusterId : null,
    },
  }
}
