import { randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { StorageError } from '../lib/errors.ts'
import type { NodeId } from '../raft/index.ts'
import { makeDirectory, syncDirectory, syncFiles } from './directories.ts'
import { type DirectoryLock, lockFile } from './directory-lock.ts'
import { errorCode, storageFault } from './fault.ts'
import { BACKUP_FILE, FileBackupRegister } from './backup-register.ts'
import { FileFormationRegister, FORMATION_FILE } from './formation-register.ts'
import { FilePeerRegister, PEERS_FILE } from './peer-register.ts'
import { readJson, replaceFile, temporaryName } from './whole-file.ts'

export const IDENTITY_FILE = 'identity.json'
export const LOCK_FILE = 'lock'
export const LOG_DIRECTORY = 'log'
export const STATE_DIRECTORY = 'state'
/** Where a restored data directory is made. */
export const RESTORING = 'restoring'
const FORMAT_VERSION = 1
const INCARNATION_BYTES = 16

export interface DataDirectoryOptions {
  readonly nodeId: NodeId
}

export interface DataDirectoryDependencies {
  readonly randomBytes?: (count: number) => Buffer
}

/** A data directory that this process owns until `close`. */
export interface DataDirectory {
  readonly path: string
  /** Drawn at random when the directory was made. A node that comes back without its data therefore has another incarnation. */
  readonly incarnation: string
  readonly peers: FilePeerRegister
  readonly formation: FileFormationRegister
  readonly backups: FileBackupRegister
  /**
   * To be called when the log is on disk, before anybody can be promised anything: from then on a missing log is a loss. Resolves when that
   * is written down.
   */
  noteLog(): Promise<void>
  close(): Promise<void>
}

interface Identity {
  readonly format: number
  readonly nodeId: number
  readonly incarnation: string
  /** The log has existed. From then on, a missing log is a loss and not a new start. */
  readonly logCreated: boolean
}

/** Takes possession of the data directory of node `nodeId`, and makes it when it is new. Refuses the directory of another node. */
export async function openDataDirectory(
  path: string,
  options: DataDirectoryOptions,
  dependencies: DataDirectoryDependencies = {},
): Promise<DataDirectory> {
  let lock: DirectoryLock | null = null
  try {
    await makePrivate(path).catch((error: unknown) => refuseNoDirectory(path, error))
    await refuseForeign(path)
    const held = await lockFile(join(path, LOCK_FILE))
    lock = held
    await syncFiles(path)
    const identity = await identify(path, options.nodeId, dependencies.randomBytes ?? randomBytes)
    const { incarnation } = identity
    const peers = new FilePeerRegister(path)
    const formation = new FileFormationRegister(path, incarnation)
    const backups = new FileBackupRegister(path)
    const noteLog = async (): Promise<void> => await writeLogCreated(path, identity)
    return { path, incarnation, peers, formation, backups, noteLog, close: async () => held.release() }
  } catch (error) {
    await lock?.release()
    throw storageFault(error, `open the data directory ${path}`)
  }
}

/** The node that owns this data directory; null when it is not a data directory. Takes no possession and changes nothing. */
export async function readNodeId(path: string): Promise<NodeId | null> {
  try {
    const identity = await readIdentity(path).catch((error: unknown) => refuseNoDirectory(path, error))
    return (identity?.nodeId ?? null) as NodeId | null
  } catch (error) {
    throw storageFault(error, `read the data directory ${path}`)
  }
}

/** A path that cannot be a directory is a mistake of the configuration, not of the disk. */
export function refuseNoDirectory(path: string, error: unknown): never {
  const reason = directoryMistakes[errorCode(error) ?? '']
  if (reason === undefined) throw error
  throw new StorageError('refused', `${path} ${reason}`, { cause: error })
}

const directoryMistakes: Readonly<Record<string, string>> = {
  EEXIST: 'is not a directory: name another path with --data-dir',
  ENOTDIR: 'cannot be created: a part of the path is not a directory; name another one with --data-dir',
  ENOENT:
    'cannot be created: the file system there does not allow it (is it mounted?); name another one with --data-dir',
  ESTALE: 'cannot be used: the server of its file system no longer knows it; mount the file system again',
  ENAMETOOLONG: 'cannot be created: the path is too long; name another one with --data-dir',
  ELOOP: 'cannot be used: its symbolic links form a loop; name another one with --data-dir',
}

async function makePrivate(path: string): Promise<void> {
  if (await makeDirectory(path)) return
  // The root of a mounted volume, and the directory above it, may belong to another user. Its permissions, and the durability
  // of its name, are then the business of that user.
  await fs.chmod(path, 0o700).catch(() => undefined)
  await syncDirectory(dirname(resolve(path))).catch(() => undefined)
}

/** Called before anything is written: a directory that holds something else stays untouched. */
async function refuseForeign(path: string): Promise<void> {
  const names = await fs.readdir(path)
  if (names.includes(IDENTITY_FILE)) return
  if (names.includes(RESTORING)) {
    throw new StorageError(
      'refused',
      `A restore into ${path} has not ended, and what it has left is no data directory. Run \`quorate restore\` again, or empty the directory.`,
    )
  }
  const parts = [LOG_DIRECTORY, STATE_DIRECTORY, PEERS_FILE, FORMATION_FILE, BACKUP_FILE]
  const ours = names.filter((name) => parts.includes(name))
  if (ours.length > 0) {
    throw new StorageError(
      'refused',
      `${path} holds data of a node (${ours.join(', ')}) but no ${IDENTITY_FILE} that says whose. Restore that file, ` +
        'or remove this node from its cluster and add it again with an empty directory; it may keep its id.',
    )
  }
  const harmless = [LOCK_FILE, temporaryName(IDENTITY_FILE), 'lost+found']
  const foreign = names.filter((name) => !harmless.includes(name))
  if (foreign.length > 0) {
    throw new StorageError(
      'refused',
      `${path} is not a data directory of Quorate, and it is not empty (${foreign.slice(0, 3).join(', ')}). Name another directory.`,
    )
  }
}

async function identify(path: string, nodeId: NodeId, random: (count: number) => Buffer): Promise<Identity> {
  const found = await readIdentity(path)
  if (found === null) {
    const identity = {
      format: FORMAT_VERSION,
      nodeId,
      incarnation: random(INCARNATION_BYTES).toString('hex'),
      logCreated: false,
    }
    await writeIdentity(path, identity)
    return identity
  }
  if (found.nodeId !== nodeId) {
    throw new StorageError(
      'refused',
      `${path} belongs to node ${found.nodeId}, and this is node ${nodeId}. Start it with the right data directory or the right id: ` +
        'two nodes with one id, or one node with the data of another, can lose writes.',
    )
  }
  const hasLog = (await listOrNone(join(path, LOG_DIRECTORY))).some((name) => !name.endsWith('.tmp'))
  const hadLog = found.logCreated || (await showsLog(path))
  if (!hasLog && hadLog) {
    throw new StorageError(
      'refused',
      `The log of node ${nodeId} is gone: ${join(path, LOG_DIRECTORY)} is missing or empty. Its votes and acknowledged writes were there, ` +
        'so it must not go on as it is. Restore the directory as it was, or remove this node from its cluster and add it again with an empty ' +
        'data directory; it may keep its id.',
    )
  }
  return found
}

/** Whether the directory holds anything that is made only after the log, so that there was one. */
async function showsLog(path: string): Promise<boolean> {
  const names = await fs.readdir(path)
  if ([PEERS_FILE, FORMATION_FILE, BACKUP_FILE].some((name) => names.includes(name))) return true
  return (await listOrNone(join(path, STATE_DIRECTORY))).length > 0
}

async function writeLogCreated(path: string, identity: Identity): Promise<void> {
  if (identity.logCreated) return
  await writeIdentity(path, { ...identity, logCreated: true }).catch((error: unknown) => {
    throw storageFault(error, `write ${join(path, IDENTITY_FILE)}`)
  })
}

async function readIdentity(path: string): Promise<Identity | null> {
  const file = join(path, IDENTITY_FILE)
  const unreadable = (what: string, cause?: unknown): StorageError =>
    new StorageError(
      'refused',
      `${file} cannot be read: ${what}. Restore it, or remove this node from its cluster and add it again with an empty data directory; ` +
        'it may keep its id.',
      { cause },
    )
  const content = await readJson(file, unreadable)
  if (content === null) return null
  const { format, nodeId, incarnation, logCreated } = content as { [Field in keyof Identity]?: unknown }
  if (typeof format === 'number' && format > FORMAT_VERSION) {
    throw new StorageError(
      'refused',
      `${path} has format ${format}, and this version of Quorate knows formats up to ${FORMAT_VERSION}. ` +
        'Start the newer version that wrote it, or remove this node from its cluster and add it again with an empty data directory; ' +
        'it may keep its id.',
    )
  }
  if (format !== FORMAT_VERSION || typeof nodeId !== 'number' || typeof logCreated !== 'boolean') {
    throw unreadable('fields are missing')
  }
  if (typeof incarnation !== 'string' || incarnation === '') throw unreadable('it names no incarnation')
  return { format, nodeId, incarnation, logCreated }
}

async function writeIdentity(path: string, identity: Identity): Promise<void> {
  await replaceFile(join(path, IDENTITY_FILE), `${JSON.stringify(identity)}\n`)
}

async function listOrNone(path: string): Promise<string[]> {
  try {
    return await fs.readdir(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
