import { execFile, execFileSync, type ChildProcess } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deferred } from '../../src/lib/deferred.ts'

/** The result of a closed loop of `connections` clients. Latencies in milliseconds. */
export interface LoadResult {
  readonly requestsPerSecond: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
  /** Answers with a status other than 2xx, and requests without an answer. */
  readonly errors: number
}

export interface Load {
  readonly method: 'PUT' | 'GET'
  /** `host:port` of each server; connections are spread over them. */
  readonly targets: readonly string[]
  readonly connections: number
  readonly seconds: number
  readonly keys: number
  readonly valueBytes: number
  /** True: the servers speak https. */
  readonly secure?: boolean
  /** True: each key in turn. Otherwise keys are drawn at random. */
  readonly inOrder?: boolean
  /** Follows the path; includes the question mark. */
  readonly query?: string
}

export function hasWrk(): boolean {
  try {
    execFileSync('wrk', ['-v'], { stdio: 'ignore' })
    return true
  } catch (error) {
    // Without arguments wrk prints its version and exits with 1. Only a missing program gives an error code.
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
}

/** Each thread of wrk talks to one server. Keys are drawn uniformly, so that most PUTs after the warm-up replace a value. */
function script(load: Load): string {
  const targets = load.targets.map((target) => `"${target}"`).join(', ')
  const key = load.inOrder === true ? 'nextKey()' : `math.random(1, ${load.keys})`
  return `
local targets = { ${targets} }
local started = 0
function setup(thread)
  local host, port = string.match(targets[started % #targets + 1], "^(.*):(%d+)$")
  started = started + 1
  thread.addr = wrk.lookup(host, port)[1]
  thread:set("seed", started)
end
function init(args)
  math.randomseed(seed * 7919 + os.time())
  body = string.rep("v", ${load.valueBytes})
end
local sent = 0
function nextKey()
  sent = sent % ${load.keys} + 1
  return sent
end
function request()
  local path = "/kv/key-" .. ${key} .. "${load.query ?? ''}"
  ${load.method === 'PUT' ? 'return wrk.format("PUT", path, nil, body)' : 'return wrk.format("GET", path)'}
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {"requests":%d,"us":%d,"p50":%d,"p90":%d,"p99":%d,"p999":%d,"max":%d,"errors":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    latency:percentile(99.9), latency.max, e.connect + e.read + e.write + e.status + e.timeout))
end
`
}

/** A load that continues until it is stopped or its time is over. */
export interface RunningLoad {
  readonly result: Promise<LoadResult>
  /** Resolves to the result so far. */
  stop(): Promise<LoadResult>
}

export function runLoad(load: Load): Promise<LoadResult> {
  return startLoad(load).result
}

let loads = 0

export function startLoad(load: Load): RunningLoad {
  loads += 1
  const file = join(tmpdir(), `quorate-bench-${process.pid}-${loads}.lua`)
  writeFileSync(file, script(load))
  const threads = Math.min(load.targets.length, load.connections)
  const shape = ['-t', String(threads), '-c', String(load.connections), '-d', `${load.seconds}s`]
  const args = [
    ...shape,
    '--timeout',
    '10s',
    '-s',
    file,
    `${load.secure === true ? 'https' : 'http'}://${load.targets[0]}`,
  ]
  const { child, result } = runWrk(args)
  const ended = result.finally(() => rmSync(file, { force: true }))
  return {
    result: ended,
    stop: async () => {
      // On this signal wrk ends and prints its figures.
      child.kill('SIGINT')
      return ended
    },
  }
}

function runWrk(args: readonly string[]): { readonly child: ChildProcess; readonly result: Promise<LoadResult> } {
  const { promise, resolve, reject } = deferred<LoadResult>()
  const child = execFile('wrk', args, (error, stdout, stderr) => {
    const line = /RESULT (\{.*\})/.exec(stdout)?.[1]
    if (line === undefined) return reject(error ?? new Error(`wrk: ${stdout}${stderr}`))
    const seen = JSON.parse(line) as Record<string, number>
    const ms = (name: string): number => (seen[name] ?? 0) / 1000
    resolve({
      requestsPerSecond: ((seen['requests'] ?? 0) * 1e6) / (seen['us'] ?? 1),
      p50: ms('p50'),
      p90: ms('p90'),
      p99: ms('p99'),
      p999: ms('p999'),
      max: ms('max'),
      errors: seen['errors'] ?? 0,
    })
  })
  return { child, result: promise }
}
