import { createWriteStream, type WriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { limits } from '../../src/limits.ts'
import type { NodeProcess } from '../e2e/support/node-process.ts'

const MiB = 1024 * 1024

/** How much more the last third of a run may take than the third before it: what caches and compaction do to it. */
const GROWTH_MAX = 1.15
const GROWTH_BYTES_MAX = 48 * MiB
/** Up to here a node may still be filling its caches and write buffers, which takes minutes. */
const FILLING_BYTES = 448 * MiB

export interface MemorySample {
  /** Since the beginning. */
  readonly seconds: number
  readonly node: number
  readonly pid: number
  readonly bytes: number
}

export interface MemoryVerdict {
  readonly node: number
  readonly pid: number
  readonly largest: number
  /** Medians of the thirds of the run. */
  readonly thirds: readonly [number, number, number]
  /** A description of the fault; null when there is none. */
  readonly complaint: string | null
}

/** Memory of a process that the system counts as its own, without the pages of files that it has mapped. */
export async function residentBytes(pid: number): Promise<number | null> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const anonymous = /^RssAnon:\s+(\d+) kB$/m.exec(text)
  return anonymous === null ? null : Number(anonymous[1]) * 1024
}

/** The promises of docs/OPERATIONS.md about a node's memory ("Memory"). */
export function memoryBound(valueBytesMax: number): number {
  const fixed = 640 * MiB
  return fixed + limits.httpStreamsBytesMax + 64 * valueBytesMax
}

/** Takes the memory of every node at intervals, and judges it at the end. */
export class MemoryWatch {
  readonly samples: MemorySample[] = []
  private readonly nodes: readonly NodeProcess[]
  private readonly file: WriteStream | null
  private readonly startedAt = performance.now()
  private timer: NodeJS.Timeout | null = null
  private sampling: Promise<void> = Promise.resolve()

  constructor(options: { readonly everyMs: number; readonly file: string | null }, nodes: readonly NodeProcess[]) {
    this.nodes = nodes
    this.file = options.file === null ? null : createWriteStream(options.file)
    this.timer = setInterval(() => {
      this.sampling = this.sample()
    }, options.everyMs)
  }

  async stop(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer)
    this.timer = null
    await this.sampling
    await new Promise<void>((resolve) => (this.file === null ? resolve() : this.file.end(resolve)))
  }

  /** Of each process that ran for most of the time; of all of them whether they stayed below `bytesMax`. */
  verdicts(bytesMax: number): MemoryVerdict[] {
    const whole = this.samples.at(-1)?.seconds ?? 0
    const pids = new Set(this.samples.map(({ pid }) => pid))
    return [...pids].map((pid) => {
      const samples = this.samples.filter((sample) => sample.pid === pid)
      const lived = (samples.at(-1)?.seconds ?? 0) - (samples[0]?.seconds ?? 0)
      return judge(samples, bytesMax, lived > whole * 0.9)
    })
  }

  private async sample(): Promise<void> {
    const seconds = Math.round((performance.now() - this.startedAt) / 100) / 10
    for (const node of this.nodes) {
      if (!node.isRunning) continue
      const { pid } = node.process
      const bytes = await residentBytes(pid)
      if (bytes === null) continue
      const sample = { seconds, node: node.id, pid, bytes }
      this.samples.push(sample)
      this.file?.write(`${JSON.stringify(sample)}\n`)
    }
  }
}

function judge(samples: readonly MemorySample[], bytesMax: number, livedThrough: boolean): MemoryVerdict {
  const [first] = samples
  if (first === undefined) throw new Error('a group has a sample')
  const sizes = samples.map(({ bytes }) => bytes)
  const largest = Math.max(...sizes)
  const third = Math.ceil(sizes.length / 3)
  const thirds = [0, 1, 2].map((n) => median(sizes.slice(n * third, (n + 1) * third)))
  const [early = 0, middle = 0, late = 0] = thirds
  const complaints: string[] = []
  if (largest > bytesMax) complaints.push(`${mebibytes(largest)} MiB at most, ${mebibytes(bytesMax)} are promised`)
  if (livedThrough && late > FILLING_BYTES && late > middle * GROWTH_MAX && late > middle + GROWTH_BYTES_MAX) {
    complaints.push(`grows: ${mebibytes(middle)} MiB in the middle, ${mebibytes(late)} at the end`)
  }
  const complaint = complaints.length === 0 ? null : complaints.join('; ')
  return { node: first.node, pid: first.pid, largest, thirds: [early, middle, late], complaint }
}

export function mebibytes(bytes: number): number {
  return Math.round(bytes / MiB)
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}
