/** The present behaviour of a machine's disk. Probabilities are for one call. */
export interface DiskWeather {
  /** Mean duration of a write. */
  writeMs: number
  readMs: number
  /** Probability that a call takes `slowMs` longer. */
  slowProbability: number
  slowMs: number
  writeErrorProbability: number
  readErrorProbability: number
  /** While true, calls that need space fail: all that write files of their own, and occasionally those of the log. */
  full: boolean
  /** While true, every call fails, even in a process that starts. */
  broken: boolean
  /** No call ends before this moment of virtual time. */
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
