import { join } from 'node:path'
import { readJson, replaceFile } from './whole-file.ts'

export const BACKUP_FILE = 'backup.json'
const FORMAT_VERSION = 1

/** The last whole backup that was read from a node. Times by the wall clock. */
interface TakenBackup {
  readonly takenAtMs: number
  readonly seconds: number
  readonly bytes: number
}

/** The last whole backup in one small file that is replaced whole. It is for people and their alarms: the node itself decides nothing by it. */
export class FileBackupRegister {
  private readonly path: string
  /** One is stored after the other. */
  private saving: Promise<void> = Promise.resolve()

  constructor(directory: string) {
    this.path = join(directory, BACKUP_FILE)
  }

  /** Null when there is none, or when the file was written by a newer version. Rejects when it cannot be read. */
  async load(): Promise<TakenBackup | null> {
    const content = await readJson(this.path, (what, cause) => this.unreadable(what, cause))
    if (content === null || Number(content['format']) > FORMAT_VERSION) return null
    const { takenAtMs, seconds, bytes } = content
    const isSound = [takenAtMs, seconds, bytes].every(isCount)
    if (!isSound) throw this.unreadable('its numbers are none')
    return { takenAtMs: Number(takenAtMs), seconds: Number(seconds), bytes: Number(bytes) }
  }

  async store(backup: TakenBackup): Promise<void> {
    const text = `${JSON.stringify({ format: FORMAT_VERSION, ...backup })}\n`
    const work = this.saving.then(() => replaceFile(this.path, text))
    this.saving = work.catch(() => undefined)
    await work
  }

  private unreadable(what: string, cause?: unknown): Error {
    return new Error(`${this.path} cannot be read: ${what}. It is written anew with the next backup.`, { cause })
  }
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}
