import { readFileSync } from 'node:fs'

const EVERY_MS = 200

export interface Memory {
  /** The largest resident set, in MB. */
  readonly maxMB: number
  /** The largest one in each quarter of the time. */
  readonly quarterMaxMB: readonly number[]
}

/** Watches the resident set of a process by polling. */
export function watchMemory({ pid }: { readonly pid?: number | undefined }): { stop(): Memory } {
  const samples: number[] = []
  const look = (): void => {
    try {
      const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid ?? 0}/status`, 'utf8'))
      samples.push((Number(line?.[1] ?? 0) * 1024) / 1e6)
    } catch (error) {
      // The process has ended.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  look()
  const timer = setInterval(look, EVERY_MS)
  return {
    stop: () => {
      clearInterval(timer)
      look()
      const quarterOf = (quarter: number): readonly number[] =>
        samples.slice((quarter * samples.length) / 4, ((quarter + 1) * samples.length) / 4)
      const quarterMaxMB = [0, 1, 2, 3].map((quarter) => Math.max(0, ...quarterOf(quarter)))
      return { maxMB: Math.max(0, ...samples), quarterMaxMB }
    },
  }
}
