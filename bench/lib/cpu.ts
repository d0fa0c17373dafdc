import { readFileSync } from 'node:fs'
import type { BenchNode } from './cluster.ts'

/** Jiffies of Linux: user and system time of all these processes, in seconds. */
export function cpuSeconds(nodes: readonly BenchNode[]): number {
  return nodes.reduce((sum, { pid }) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return sum + (Number(fields[11]) + Number(fields[12])) / 100
  }, 0)
}
