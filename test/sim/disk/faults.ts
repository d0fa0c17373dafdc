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
  /** Every call that needs space fails while this holds. */
  full: boolean
  /** Every call fails while this holds, also those of a process that starts. */
  broken: boolean
  /** No write ends before this moment of the world's time. */
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
