import { spawn, type ChildProcess } from 'node:child_process'
import { toError } from '../lib/to-error.ts'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { runtimeVariables } from '../runtime-variables.ts'
import { apiOf, raftOf, type DevNode } from './dev-plan.ts'

const program = fileURLToPath(new URL('../main.js', import.meta.url))

/** A node of a development cluster, as a child of this process. */
export class DevProcess {
  readonly node: DevNode
  /** Resolves with a description once the process has ended, whatever the reason. */
  readonly ended: Promise<string>
  private readonly child: ChildProcess

  /** `onLine` gets what the node logs, line by line. */
  constructor(
    options: {
      readonly node: DevNode
      readonly directory: string
      readonly logLevel: string
      readonly flags: readonly string[]
    },
    onLine: (line: string) => void,
  ) {
    const { node } = options
    this.node = node
    const flags = [
      ['--id', String(node.id)],
      ['--data-dir', join(options.directory, `node-${node.id}`)],
      ['--api', apiOf(node)],
      ['--raft', raftOf(node)],
      ['--segment-bytes', '16MiB'],
      ['--log-level', options.logLevel],
      ['--log-format', 'text'],
      options.flags,
    ].flat()
    this.child = spawn(process.execPath, [program, 'serve', ...flags], {
      // The IPC channel tells the node when this process is gone. A process group of its own keeps Ctrl-C away from the node:
      // this process stops the nodes, and a second signal would make them leave without handing over leadership.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
      env: withoutSettings(process.env),
    })
    const wanted = INFORMATIVE.includes(options.logLevel) ? onLine : (line: string) => AUDIT.test(line) || onLine(line)
    for (const stream of [this.child.stdout, this.child.stderr]) if (stream !== null) forward(stream, node.id, wanted)
    this.ended = this.untilEnded()
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  stop(signal: 'SIGTERM' | 'SIGKILL'): void {
    this.child.kill(signal)
  }

  private async untilEnded(): Promise<string> {
    try {
      // Waits for `close` and not for `exit`, so that the last output has been read.
      const [code, signal] = (await once(this.child, 'close')) as [number | null, string | null]
      return `node ${this.node.id} ended ${signal === null ? `with exit code ${code}` : `by ${signal}`}`
    } catch (error) {
      return `node ${this.node.id} could not be started: ${toError(error).message}`
    }
  }
}

/** Nodes write lines of audit at every level. Here they would only say what one has just done oneself. */
const AUDIT = /^\[\d+\] \S+ info +audit /
const INFORMATIVE: readonly string[] = ['trace', 'debug', 'info']

function forward(stream: Readable, id: number, onLine: (line: string) => void): void {
  createInterface({ input: stream }).on('line', (line) => onLine(`[${id}] ${line}`))
}

/** Settings meant for a single node would contradict those of the three. */
function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(environment).filter(([name]) => !name.startsWith('QUORATE_'))
  return { ...runtimeVariables, ...Object.fromEntries(kept) }
}
