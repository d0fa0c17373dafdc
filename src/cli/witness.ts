import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { limits } from '../limits.ts'

type Shell = ChildProcessByStdio<Writable, Readable, null>

/**
 * A process that shows whether a signal was sent to this process alone, or to its whole group, as a terminal sends Ctrl-C and a service manager
 * ends a service. It writes down the signals that come to it, and echoes what it is told. It ends with this process, as its input does. When a signal
 * ends it, which is so until it is set up, another one takes its place.
 */
export class Witness {
  private readonly signals: readonly NodeJS.Signals[]
  private shell: Shell | null = null
  /** When each signal has last come to a witness. */
  private readonly seen = new Map<string, number>()
  private readonly open = new Set<NodeJS.Signals>()
  /** Those that wait for an echo, by the word that is to come back. */
  private readonly waiting = new Map<string, () => void>()
  private asked = 0

  constructor(signals: readonly NodeJS.Signals[]) {
    this.signals = signals
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
      if (!this.wasSeen(signal, since) && this.shell !== null) await this.echoed(this.shell)
      return !this.wasSeen(signal, since)
    } finally {
      this.open.delete(signal)
    }
  }

  end(): void {
    const { shell } = this
    this.shell = null
    shell?.kill('SIGKILL')
  }

  private wasSeen(signal: NodeJS.Signals, since: number): boolean {
    return (this.seen.get(signal) ?? Number.NEGATIVE_INFINITY) >= since
  }

  private begin(): void {
    const shell = started(this.signals)
    if (shell === null) return
    this.shell = shell
    const onEnd = (signal: NodeJS.Signals | null): void => {
      for (const resolve of this.waiting.values()) resolve()
      this.waiting.clear()
      if (this.shell !== shell) return
      this.shell = null
      if (signal === null) return
      this.seen.set(signal, performance.now())
      this.begin()
    }
    // It follows as well when there is no such program.
    shell.on('error', () => onEnd(null))
    shell.on('exit', (_code, signal) => onEnd(signal))
    shell.stdin.on('error', () => undefined)
    createInterface(shell.stdout).on('line', (line) => this.onLine(line))
  }

  private onLine(line: string): void {
    const resolve = this.waiting.get(line)
    this.waiting.delete(line)
    if (resolve === undefined) this.seen.set(line, performance.now())
    else resolve()
  }

  /** Resolves when the witness has echoed, or is gone: a signal that came to it before is written down by then. */
  private async echoed(shell: Shell): Promise<void> {
    this.asked += 1
    const word = `${this.asked}`
    await new Promise<void>((resolve) => {
      this.waiting.set(word, resolve)
      shell.stdin.write(`${word}\n`)
    })
  }
}

/** Null: the system has no room for another process. */
function started(signals: readonly NodeJS.Signals[]): Shell | null {
  try {
    const shell: Shell = spawn('sh', ['-c', script(signals)], { stdio: ['pipe', 'pipe', 'ignore'] })
    shell.on('error', () => undefined)
    // It has no streams when there are no descriptors left for them.
    return (shell.stdin as Writable | undefined) === undefined ? null : shell
  } catch {
    return null
  }
}

/** A shell carries a trap out before its next command. Some give up a `read` for it, with a result like that for the end of the input. */
function script(signals: readonly NodeJS.Signals[]): string {
  const traps = signals.map((signal) => `trap 'told=1; echo ${signal}' ${signal.slice('SIG'.length)}`)
  const echo = 'while :; do told=; if read -r word; then echo "$word"; elif [ -z "$told" ]; then exit; fi; done'
  return [...traps, echo].join('\n')
}
