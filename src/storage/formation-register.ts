import { join } from 'node:path'
import { crc32 } from '../lib/checksum.ts'
import { StorageError } from '../lib/errors.ts'
import { limits } from '../limits.ts'
import type { FormationMemory, FormationRegister, NodeEndpoints, Pledge } from '../ports/automation.ts'
import { NOTHING_REMEMBERED } from '../ports/automation.ts'
import { storageFault } from './fault.ts'
import { readJson, replaceFile } from './whole-file.ts'

export const FORMATION_FILE = 'formation.json'
const FORMAT_VERSION = 1

/** What this node promised and saw before it belonged to a cluster, in one small file that is replaced whole at every change. */
export class FileFormationRegister implements FormationRegister {
  private readonly path: string
  /** The incarnation of the data directory: a file written by another incarnation does not bind this node. */
  private readonly incarnation: string

  constructor(directory: string, incarnation: string) {
    this.path = join(directory, FORMATION_FILE)
    this.incarnation = incarnation
  }

  async load(): Promise<FormationMemory> {
    try {
      const content = await readJson(this.path, (what, cause) => this.unreadable(what, cause))
      return content === null ? NOTHING_REMEMBERED : this.checked(content)
    } catch (error) {
      throw storageFault(error, `read ${this.path}`)
    }
  }

  async store(memory: FormationMemory): Promise<void> {
    const text = JSON.stringify({ ...this.fields(memory), checksum: this.checksumOf(memory) })
    await replaceFile(this.path, `${text}\n`).catch((error: unknown) => {
      throw storageFault(error, `write ${this.path}`)
    })
  }

  private checked(content: Readonly<Record<string, unknown>>): FormationMemory {
    const { format, incarnation, round, pledge, metCluster, checksum } = content
    if (typeof format !== 'number') throw this.unreadable('it names no format')
    if (format > FORMAT_VERSION) {
      throw new StorageError(
        'refused',
        `${this.path} has format ${format}; start the newer version of Quorate that wrote it.`,
      )
    }
    if (typeof round !== 'number' || !Number.isInteger(round) || round < 0 || round > limits.pledgeRoundsMax)
      throw this.unreadable('it names no round')
    if (metCluster !== null && typeof metCluster !== 'string')
      throw this.unreadable('the cluster that was met is not valid')
    const memory = { round, pledge: pledge === null ? null : this.pledgeOf(pledge), metCluster }
    if (incarnation !== this.incarnation) {
      throw this.unreadable(
        `it belongs to another data directory (incarnation ${String(incarnation)}, and this one has ${this.incarnation})`,
      )
    }
    if (checksum !== this.checksumOf(memory)) throw this.unreadable('its checksum is wrong')
    return memory
  }

  private pledgeOf(value: unknown): Pledge {
    const { clusterId, members } = asFields(value)
    if (typeof clusterId !== 'string' || !Array.isArray(members) || members.length > limits.membersMax)
      throw this.unreadable('the pledge is not valid')
    return { clusterId, members: members.map((member) => this.memberOf(member)) }
  }

  private memberOf(value: unknown): NodeEndpoints {
    const { id, raft, api } = asFields(value)
    if (typeof id !== 'number' || typeof raft !== 'string' || typeof api !== 'string')
      throw this.unreadable('a member of the pledge is not valid')
    return { id, raft, api }
  }

  /** The fields in the order in which they are written. The checksum covers this text. */
  private fields({ round, pledge, metCluster }: FormationMemory) {
    const members = pledge?.members.map(({ id, raft, api }) => ({ id, raft, api })) ?? []
    return {
      format: FORMAT_VERSION,
      incarnation: this.incarnation,
      round,
      pledge: pledge === null ? null : { clusterId: pledge.clusterId, members },
      metCluster,
    }
  }

  private checksumOf(memory: FormationMemory): number {
    return crc32(Buffer.from(JSON.stringify(this.fields(memory))))
  }

  private unreadable(what: string, cause?: unknown): StorageError {
    return new StorageError(
      'refused',
      `${this.path} cannot be used: ${what}. It holds what this node promised before it belonged to a cluster. Restore it, ` +
        'or remove it if the node already belongs to a cluster. Otherwise give the node an empty data directory: it has no data yet.',
      { cause },
    )
  }
}

function asFields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
