import { spawn, type ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { limits } from '../limits.ts'

type Cat = ChildProcessByStdio<Writable, Readable, null>

/**
 * A process that shows whether a signal was sent to this process alone, or to its whole group, as a terminal sends Ctrl-C and a service manager
 * ends a service. It echoes what it is told until a signal ends it, and another one takes its place. It ends with this process, as its input does.
 */
export class Witness {
  private cat: Cat | null = null
  /** When each signal has last ended a witness. */
  private readonly seen = new Map<NodeJS.Signals, number>()
  private readonly open = new Set<NodeJS.Signals>()

  constructor() {
    this.begin()
  }

  /**
   * To be asked when a signal has come. When the witness cannot tell, the signal was sent to this process alone. `timeout` and others send theirs to
   * one process, and at once to its group: what comes again while this is being found out, or soon after it was for all, is the same signal.
   */
  async isForThisAlone(signal: NodeJS.Signals): Promise<boolean> {
    if (this.open.has(signal)) return false
    const since = performance.now() - limits.sameSignalMs
    this.open.add(signal)
    try {
      if (!this.wasSeen(signal, since)) await delay(limits.signalPauseMs)
      if (!this.wasSeen(signal, since) && this.cat !== null) await echoed(this.cat)
      return !this.wasSeen(signal, since)
    } finally {
      this.open.delete(signal)
    }
  }

  end(): void {
    const { cat } = this
    this.cat = null
    cat?.kill('SIGKILL')
  }

  private wasSeen(signal: NodeJS.Signals, since: number): boolean {
    return (this.seen.get(signal) ?? Number.NEGATIVE_INFINITY) >= since
  }

  private begin(): void {
    const cat = started()
    if (cat === null) return
    this.cat = cat
    const onEnd = (signal: NodeJS.Signals | null): void => {
      if (this.cat !== cat) return
      this.cat = null
      if (signal === null) return
      this.seen.set(signal, performance.now())
      this.begin()
    }
    cat.on('error', () => onEnd(null))
    cat.stdin.on('error', () => undefined)
    cat.stdout.resume()
    cat.on('exit', (_code, signal) => onEnd(signal))
  }
}

/** Null: the system has no room for another process. */
function started(): Cat | null {
  try {
    const cat: Cat = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore'] })
    cat.on('error', () => undefined)
    // It has no streams when there are no descriptors left for them.
    return (cat.stdin as Writable | undefined) === undefined ? null : cat
  } catch {
    return null
  }
}

/** Resolves when the witness has echoed, or is gone: a signal that came to it as well ends it before it can echo. */
async function echoed(cat: Cat): Promise<void> {
  await new Promise<void>((resolve) => {
    const settle = (): void => {
      cat.stdout.off('data', settle)
      cat.off('close', settle)
      resolve()
    }
    cat.stdout.on('data', settle)
    // It also follows when there was no such program to begin.
    cat.on('close', settle)
    cat.stdin.write('\n')
  })
}
