import { fstatSync, writeSync } from 'node:fs'
import { exitCodes } from './cli/terminal.ts'

/** The standard output of this process. When it cannot be written, it ends the process. */
export class StandardOutput {
  private readonly isFile = isFile()
  private readonly isJson: boolean
  private readonly complain: (text: string) => void
  /** Set when a part of the output is of no use: what is said in its place. */
  private instead: string | null = null
  private isLost = false
  private code: number | null = null

  constructor({ isJson, complain }: { readonly isJson: boolean; readonly complain: (text: string) => void }) {
    this.isJson = isJson
    this.complain = complain
    process.stdout.on('error', (error: NodeJS.ErrnoException) => this.lose(error))
  }

  print(text: string | Uint8Array): void {
    if (this.isLost) return
    // A stream of Node takes no notice when a file takes less than it was given, and tells too late of a reader that has left.
    if (this.isFile || (this.instead ?? '') !== '') this.writeNow(Buffer.from(text))
    else process.stdout.write(text)
  }

  /** Resolves when there is room for the next one, or `signal` aborts. */
  async printPiece(piece: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (this.isFile || this.isLost) return this.print(piece)
    if (process.stdout.write(piece) || signal?.aborted === true) return
    await new Promise<void>((resolve) => {
      const goOn = (): void => {
        process.stdout.off('drain', goOn)
        signal?.removeEventListener('abort', goOn)
        resolve()
      }
      process.stdout.on('drain', goOn)
      signal?.addEventListener('abort', goOn)
    })
  }

  need(instead: string): void {
    this.instead = instead
  }

  /** To be told of the exit code of the command. */
  ended(code: number): void {
    this.code = code
  }

  private writeNow(bytes: Uint8Array): void {
    let written = 0
    try {
      while (written < bytes.length) written += writeSync(1, bytes, written)
    } catch (error) {
      const failure = error as NodeJS.ErrnoException
      // The pipe is full: the stream waits until its reader goes on.
      if (failure.code === 'EAGAIN') process.stdout.write(bytes.subarray(written))
      else this.lose(failure)
    }
  }

  private lose(error: NodeJS.ErrnoException): void {
    if (this.isLost) return
    this.isLost = true
    if (error.code === 'EPIPE' && this.instead === null) {
      // In `quorate kv ls | head` the reader has seen enough, which is no error. A command that is about to end keeps its exit code.
      setImmediate(() => process.exit(this.code ?? exitCodes.stopped))
      return
    }
    // A command prints what it has done, so its effect is there by now.
    const detail =
      this.instead === null
        ? `the output could not be written (${error.message}), but the command was carried out`
        : `the output could not be written whole (${error.message})`
    this.complain(this.isJson ? `${JSON.stringify({ code: 'output-lost', detail })}\n` : `quorate: ${detail}\n`)
    if (this.instead !== null) this.complain(this.instead)
    process.exit(exitCodes.outputLost)
  }
}

function isFile(): boolean {
  try {
    return fstatSync(1).isFile()
  } catch {
    return false
  }
}
