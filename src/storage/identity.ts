import { randomUUID } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { StorageError } from '../lib/errors.ts'
import type { NodeId } from '../raft/index.ts'
import { lockDirectory, type DirectoryLock } from './directory-lock.ts'
import { makeDirectory, readIfPresent, replaceFile } from './durable-file.ts'
import { errorCode, storageFault } from './fault.ts'
import { PeerFile } from './peer-file.ts'

/** Of the directory as a whole: what lies where in it. The log and the state have versions of their own. */
const FORMAT_VERSION = 1

const IDENTITY = 'identity.json'
const LOG = 'log'
const STATE = 'state'

/** A node's directory, taken for this process. */
export interface DataDirectory {
  /** Random, drawn when the directory was made: a node that lost its directory comes back with another. */
  readonly incarnation: string
  readonly logDirectory: string
  readonly stateDirectory: string
  readonly peers: PeerFile
  /** Lets go of the directory. Everything in it is closed before. */
  close(): Promise<void>
}

interface Identity {
  readonly formatVersion: number
  readonly nodeId: number
  readonly incarnation: string
}

/**
 * Takes the directory at `path` for node `nodeId`, and makes it when there is none.
 *
 * Refuses a directory that another process has, that is another node's, that is no node's, that a newer version wrote, or whose
 * log was taken away: a node that has forgotten its vote would vote twice.
 */
export async function openDataDirectory(path: string, { nodeId }: { readonly nodeId: NodeId }): Promise<DataDirectory> {
  const directory = resolve(path)
  let lock: DirectoryLock | null = null
  try {
    await makeDirectory(directory)
    lock = await lockDirectory(directory)
    const held = lock
    const identity = (await readIdentity(directory, nodeId)) ?? (await makeIdentity(directory, nodeId))
    return {
      incarnation: identity.incarnation,
      logDirectory: join(directory, LOG),
      stateDirectory: join(directory, STATE),
      peers: new PeerFile(join(directory, 'peers.json')),
      close: async () => await held.release(),
    }
  } catch (error) {
    await lock?.release()
    const isFile = errorCode(error) === 'EEXIST' || errorCode(error) === 'ENOTDIR'
    if (isFile) throw refused(`${directory} is not a directory: name another with --data-dir.`)
    throw storageFault(error, `open the data directory ${directory}`)
  }
}

/** Null when the directory has none yet. */
async function readIdentity(directory: string, nodeId: NodeId): Promise<Identity | null> {
  const path = join(directory, IDENTITY)
  const text = await readIfPresent(path)
  if (text === null) return null
  const identity = parseIdentity(text)
  if (identity === null) {
    throw refused(`${path} is damaged. Restore it from a copy, or replace this node by one with a new id.`)
  }
  if (identity.formatVersion > FORMAT_VERSION) {
    throw refused(
      `${directory} has format ${identity.formatVersion}, and this version of Quorate knows formats up to ${FORMAT_VERSION}. ` +
        'Start the newer version that wrote it.',
    )
  }
  if (identity.nodeId !== nodeId) {
    throw refused(
      `${directory} belongs to node ${identity.nodeId}, not to node ${nodeId}: ` +
        `start it with --id ${identity.nodeId}, or name another directory with --data-dir.`,
    )
  }
  await checkLog(directory, nodeId)
  return identity
}

/** The log directory is made before the identity, and the state's only once the log is there. */
async function checkLog(directory: string, nodeId: NodeId): Promise<void> {
  const log = await entriesOf(join(directory, LOG))
  const state = await entriesOf(join(directory, STATE))
  if (log !== null && (log.length > 0 || state === null)) return
  throw refused(
    `The log in ${join(directory, LOG)} was removed, and with it the vote of node ${nodeId}. Put it back; or remove the node from ` +
      'the cluster, and start a new one under a new id with an empty directory.',
  )
}

async function makeIdentity(directory: string, nodeId: NodeId): Promise<Identity> {
  const entries = (await entriesOf(directory)) ?? []
  const leftover = [LOG, `${IDENTITY}.new`, 'lost+found']
  const foreign = entries.filter((name) => !leftover.includes(name))
  const log = (await entriesOf(join(directory, LOG))) ?? []
  if (foreign.length > 0 || log.length > 0) {
    const found = foreign.length > 0 ? foreign.slice(0, 3).join(', ') : `${LOG}/${log[0] ?? ''}`
    throw refused(
      `${directory} holds ${found} but no ${IDENTITY}: it is no data directory of a node, or its ${IDENTITY} was removed. ` +
        'Put that back, or name an empty directory with --data-dir.',
    )
  }
  await makeDirectory(join(directory, LOG))
  const identity = { formatVersion: FORMAT_VERSION, nodeId, incarnation: randomUUID() }
  await replaceFile(join(directory, IDENTITY), `${JSON.stringify(identity, null, 2)}\n`)
  return identity
}

function parseIdentity(text: string): Identity | null {
  try {
    const { formatVersion, nodeId, incarnation } = JSON.parse(text) as Readonly<Record<keyof Identity, unknown>>
    if (!Number.isSafeInteger(formatVersion) || !Number.isSafeInteger(nodeId)) return null
    if (typeof incarnation !== 'string' || incarnation === '') return null
    return { formatVersion: Number(formatVersion), nodeId: Number(nodeId), incarnation }
  } catch {
    return null
  }
}

/** Null when there is no such directory. */
async function entriesOf(path: string): Promise<string[] | null> {
  try {
    return (await stat(path)).isDirectory() ? await readdir(path) : null
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null
    throw error
  }
}

function refused(message: string): StorageError {
  return new StorageError('refused', message)
}
