import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import { runtimeVariables } from '../../../src/runtime-variables.ts'
import { eventually } from './eventually.ts'
import { RestClient, type RestTls } from './rest-client.ts'
import type { Owner } from '../../support/temporary-directory.ts'

export interface NodeOptions {
  readonly id: number
  readonly directory: string
  /** Ports of the loopback interface. */
  readonly api: number
  readonly raft: number
  /** The port at which peers reach it, when it differs from `raft`. */
  readonly raftAdvertise?: number
  readonly flags?: readonly string[]
  /** Its API speaks https, and this is how to speak with it; the flags name its files. */
  readonly tls?: RestTls
  /** The command in front of `serve` and its flags. Default: this Node with the built program. */
  readonly command?: readonly string[]
}

export interface ProcessEnd {
  readonly code: number | null
  readonly signal: string | null
  readonly out: string
  readonly err: string
}

export interface MemberAddresses {
  readonly id: number
  readonly raft: string
  readonly api: string
}

// The built program, as users run it: `npm test` builds first.
// Tests that are built as programs are compiled into their own folder, one level below.
const root = import.meta.url.includes('/build/test/') ? '../../../../' : '../../../'
export const builtProgram = [process.execPath, fileURLToPath(new URL(`${root}dist/main.js`, import.meta.url))]

/** How much of a node's log a test keeps. */
const outputCharactersMax = 4 * 1024 * 1024

const living = new Set<ChildProcess>()

function killLiving(): void {
  for (const child of living) child.kill('SIGKILL')
}

process.once('exit', killLiving)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killLiving()
    process.exit(128 + constants.signals[signal])
  })
}

/** One run of `quorate serve` with `words`. It ends with the test at the latest. */
export class ServeProcess {
  /** Set by a test that ends the process by means other than a signal. */
  mayEnd = false
  readonly ended: Promise<ProcessEnd>
  private readonly child: ChildProcess
  private out = ''
  private err = ''
  private told = false

  constructor(owner: Owner, words: readonly string[], command: readonly string[] = builtProgram) {
    const [executable = '', ...first] = command
    this.child = spawn(executable, [...first, 'serve', ...words], {
      // The IPC channel ends a node whose test was killed before it could clean up.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // As the executable sets them.
      env: { PATH: process.env['PATH'] ?? '', ...runtimeVariables },
    })
    living.add(this.child)
    this.child.stdout?.on('data', (chunk) => (this.out = tail(this.out + String(chunk))))
    this.child.stderr?.on('data', (chunk) => (this.err = tail(this.err + String(chunk))))
    this.ended = once(this.child, 'close').then(([code, signal]) => {
      living.delete(this.child)
      return { code: code as number | null, signal: signal as string | null, out: this.out, err: this.err }
    })
    owner.teardown(async () => {
      if (!this.hasEnded) this.signal('SIGKILL')
      await this.ended
    })
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  /** Its last output, when it ended although nobody told it to. */
  get surprise(): string | null {
    if (!this.hasEnded || this.told || this.mayEnd) return null
    return `${this.err}\n${this.out.slice(-2_000)}`
  }

  get output(): string {
    return this.out
  }

  get errors(): string {
    return this.err
  }

  signal(name: NodeJS.Signals): void {
    if (name !== 'SIGSTOP' && name !== 'SIGCONT') this.told = true
    this.child.kill(name)
  }
}

/** A node of a test. Its directory and ports stay; its process comes and goes. */
export class NodeProcess {
  readonly id: number
  readonly directory: string
  private readonly owner: Owner
  private readonly api: string
  private readonly raft: string
  private words: readonly string[]
  private rest: RestClient
  private command: readonly string[] | undefined
  private readonly runs: ServeProcess[] = []

  constructor(owner: Owner, options: NodeOptions) {
    const { id, directory, api, raft, raftAdvertise = raft, flags = [], command, tls } = options
    this.owner = owner
    this.command = command
    this.id = id
    this.directory = directory
    this.api = `127.0.0.1:${api}`
    this.raft = `127.0.0.1:${raftAdvertise}`
    this.rest = this.restClient(tls)
    const place = ['--id', String(id), '--data-dir', directory, '--segment-bytes', '4MiB']
    const listen = ['--api', this.api, '--raft', `127.0.0.1:${raft}`]
    this.words = [...place, ...listen, '--raft-advertise', this.raft, ...flags]
    owner.teardown(async () => {
      this.rest.close()
      const surprise = this.runs.map((run) => run.surprise).find((words) => words !== null) ?? null
      if (surprise !== null) throw new Error(`node ${id} ended by itself: ${surprise}`)
    })
  }

  get client(): RestClient {
    return this.rest
  }

  get addresses(): MemberAddresses {
    return { id: this.id, raft: this.raft, api: this.rest.origin }
  }

  get process(): ServeProcess {
    const current = this.runs.at(-1)
    if (current === undefined) throw new Error(`node ${this.id} was never started`)
    return current
  }

  get isRunning(): boolean {
    return this.runs.length > 0 && !this.process.hasEnded
  }

  /** Starts a process and waits until its API answers. When the process ends instead, throws with its last output. */
  async start(flags: readonly string[] = []): Promise<void> {
    const started = this.launch(flags)
    await eventually(`node ${this.id} answers`, async () => {
      if (started.hasEnded) return 'ended'
      return (await this.client.get('/livez')).status === 200 ? 'ready' : null
    })
    if (!started.hasEnded) return
    const { code, signal, err } = await started.ended
    throw new Error(`node ${this.id} ended with ${code ?? signal} instead of serving: ${err}`)
  }

  /** Starts a process without waiting for anything. */
  launch(flags: readonly string[] = []): ServeProcess {
    if (this.isRunning) throw new Error(`node ${this.id} runs already`)
    const run = new ServeProcess(this.owner, [...this.words, ...flags], this.command)
    this.runs.push(run)
    return run
  }

  /** From its next start on, the process is one of `command`. */
  replaceProgram(command: readonly string[]): void {
    this.command = command
  }

  /** From its next start on, it has these flags as well. `tls`: its API then speaks https. */
  addFlags(flags: readonly string[], tls?: RestTls): void {
    this.words = [...this.words, ...flags]
    if (tls === undefined) return
    this.rest.close()
    this.rest = this.restClient(tls)
  }

  async kill(): Promise<void> {
    this.process.signal('SIGKILL')
    await this.process.ended
  }

  async stop(): Promise<ProcessEnd> {
    this.process.signal('SIGTERM')
    return await this.process.ended
  }

  pause(): void {
    this.process.signal('SIGSTOP')
  }

  resume(): void {
    this.process.signal('SIGCONT')
  }

  private restClient(tls: RestTls | undefined): RestClient {
    return new RestClient(`${tls === undefined ? 'http' : 'https'}://${this.api}`, tls)
  }
}

function tail(text: string): string {
  return text.length > outputCharactersMax ? text.slice(-outputCharactersMax / 2) : text
}
