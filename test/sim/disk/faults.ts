/** How a machine's disk behaves at present. Probabilities are for one call. */
export interface DiskWeather {
  /** Mean of the time a write takes. */
  writeMs: number
  readMs: number
  /** Now and then a call takes this much longer. */
  slowProbability: number
  slowMs: number
  writeErrorProbability: number
  readErrorProbability: number
  /** While this holds, calls that need space fail: all that write files of their own, and of those of the log every now and then one. */
  full: boolean
  /** Every call fails while this holds, also those of a process that starts. */
  broken: boolean
  /** No call ends before this moment of the world's time. */
  stuckUntil: number
}

export function calmDisk(): DiskWeather {
  return {
    writeMs: 0.3,
    readMs: 0.1,
    slowProbability: 0,
    slowMs: 0,
    writeErrorProbability: 0,
    readErrorProbability: 0,
    full: false,
    broken: false,
    stuckUntil: 0,
  }
}
