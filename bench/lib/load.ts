import type { Point, Quantiles } from './statistics.ts'

/** A closed loop: each connection sends its next request when the last one is answered. */
export interface Load {
  /** `MIXED`: 90 GETs to 10 PUTs. */
  readonly method: 'PUT' | 'GET' | 'MIXED'
  /** `host:port` of each server; connections are spread over them. */
  readonly targets: readonly string[]
  readonly connections: number
  readonly seconds: number
  readonly keys: number
  readonly valueBytes: number
  /** True: the servers speak https. Only wrk does, too. */
  readonly secure?: boolean
  /** True: each key in turn. Otherwise keys are drawn at random. */
  readonly inOrder?: boolean
  /** Follows the path of a GET; includes the question mark. */
  readonly query?: string
}

export const MIXED_GETS = 0.9

export interface LoadResult extends Quantiles {
  readonly requestsPerSecond: number
  readonly requests: number
  /** Answers with a status other than 2xx, and requests without an answer. */
  readonly errors: number
  /** CPU time of the generator for each request. */
  readonly generatorCpuUs: number
  readonly distribution: readonly Point[]
}

/** A load that continues until it is stopped or its time is over. */
export interface RunningLoad {
  readonly result: Promise<LoadResult>
  /** Resolves to the result so far. */
  stop(): Promise<LoadResult>
}

/** An open loop: requests start when they are due, whatever has become of those before. Latencies count from then on. */
export interface OpenLoad extends Omit<Load, 'seconds'> {
  /** One after the other. */
  readonly phases: readonly Phase[]
  /** Requests in flight on one connection. */
  readonly depth?: number
}

export interface Phase {
  readonly perSecond: number
  readonly seconds: number
}

/** What was answered in one second. */
export interface Second {
  readonly ok: number
  readonly refused: number
  readonly failed: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface OpenResult extends LoadResult {
  /** Answers 429. */
  readonly refused: number
  readonly refusedP99: number
  /** Other answers than 2xx and 429, broken connections, no answer in time. */
  readonly failed: number
  /** Due, and never sent, because too many before them were waiting for a connection. */
  readonly unsent: number
  /** How late requests were sent for which a connection was free: the generator's own fault. */
  readonly lateP99: number
  readonly seconds: readonly Second[]
}
