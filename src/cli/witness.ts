import { spawn, type ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'

/**
 * A process that shows whether a signal was sent to this process alone, or to its whole group, as a terminal sends Ctrl-C and a service manager
 * ends a service. It echoes what it is told until a signal ends it, and another one takes its place. It ends with this process, as its input does.
 */
export class Witness {
  private cat: ChildProcessByStdio<Writable, Readable, null> | null = null
  /** Signals that ended a witness, and that this process has not asked about yet. */
  private readonly seen = new Set<NodeJS.Signals>()

  constructor() {
    this.begin()
  }

  /** To be asked when a signal has come. When the witness cannot tell, the signal was sent to this process alone. */
  async saw(signal: NodeJS.Signals): Promise<boolean> {
    const { cat } = this
    if (cat !== null && !this.seen.has(signal)) {
      await new Promise<void>((resolve) => {
        const settle = (): void => {
          cat.stdout.off('data', settle)
          cat.off('close', settle)
          resolve()
        }
        cat.stdout.on('data', settle)
        // It also follows when there was no such program to begin.
        cat.on('close', settle)
        // A signal that came to the witness as well ends it before it can echo.
        cat.stdin.write('\n')
      })
    }
    return this.seen.delete(signal)
  }

  end(): void {
    const { cat } = this
    this.cat = null
    cat?.kill('SIGKILL')
  }

  private begin(): void {
    const cat = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore'] })
    this.cat = cat
    const onEnd = (signal: NodeJS.Signals | null): void => {
      if (this.cat !== cat) return
      this.cat = null
      if (signal === null) return
      this.seen.add(signal)
      this.begin()
    }
    cat.on('error', () => onEnd(null))
    cat.stdin.on('error', () => undefined)
    cat.stdout.resume()
    cat.on('exit', (_code, signal) => onEnd(signal))
  }
}
