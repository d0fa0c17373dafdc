import { readFileSync } from 'node:fs'

const EVERY_MS = 200
/** The unit of times in /proc; the same on every Linux. */
const TICK_MS = 10

export interface Usage {
  /** CPU time of all threads, in the kernel too. */
  readonly cpuMs: number
  /** The largest resident set, in MB. */
  readonly maxMB: number
  /** The largest one in each quarter of the time; empty when the time was too short. */
  readonly quarterMaxMB: readonly number[]
}

interface Sample {
  readonly cpuMs: number
  readonly MB: number
}

/** Null when there is no such process, or none any more. */
function sampleOf(pid: number): Sample | null {
  try {
    // The name of the program, in parentheses, may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return {
      cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
      MB: (Number(resident?.[1] ?? 0) * 1024) / 1e6,
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return null
    throw error
  }
}

export function residentMB(pid: number | undefined): number {
  return sampleOf(pid ?? 0)?.MB ?? NaN
}

/** Memory over time as values of a figure: flat where the quarters are alike. */
export function memoryOver({ maxMB, quarterMaxMB }: Usage): Record<string, number> {
  return {
    rssMaxMB: maxMB,
    ...Object.fromEntries(quarterMaxMB.map((one, at) => [`rssQuarter${at + 1}MB`, one])),
  }
}

/** Watches the CPU time and the resident set of a process by polling. Of a process that ends meanwhile, the last sample counts. */
export function watchUsage(pid: number | undefined): { stop(): Usage } {
  const samples: Sample[] = []
  const look = (): void => {
    const sample = sampleOf(pid ?? 0)
    if (sample !== null) samples.push(sample)
  }
  look()
  const timer = setInterval(look, EVERY_MS)
  return {
    stop: () => {
      clearInterval(timer)
      look()
      const cpuMs = (samples.at(-1)?.cpuMs ?? 0) - (samples[0]?.cpuMs ?? 0)
      const largest = (some: readonly Sample[]): number => some.reduce((max, { MB }) => Math.max(max, MB), 0)
      const quarter = samples.length / 4
      const quarters = quarter < 2 ? [] : [0, 1, 2, 3]
      const quarterMaxMB = quarters.map((n) => largest(samples.slice(n * quarter, (n + 1) * quarter)))
      return { cpuMs, maxMB: largest(samples), quarterMaxMB }
    },
  }
}
