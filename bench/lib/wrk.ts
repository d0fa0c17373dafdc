import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeDirectory, removeDirectory, spawnChild } from './children.ts'
import { MIXED_GETS, type Load, type LoadResult, type RunningLoad } from './load.ts'
import { PERCENTAGES, type Point } from './statistics.ts'
import { watchUsage } from './usage.ts'

let installed: boolean | null = null

export function hasWrk(): boolean {
  installed ??= runs('wrk', ['-v'])
  return installed
}

/** Whether there is such a program. Its exit code does not count: asked for its version, wrk exits with 1. */
export function runs(program: string, args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' })
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
}

function quorateRequest(load: Load): string {
  const key = load.inOrder === true ? 'nextKey()' : `math.random(1, ${load.keys})`
  const get = `return wrk.format("GET", "/kv/key-" .. ${key} .. "${load.query ?? ''}")`
  const put = `return wrk.format("PUT", "/kv/key-" .. ${key}, nil, body)`
  if (load.method === 'MIXED') return `if math.random() < ${MIXED_GETS} then ${get} else ${put} end`
  return load.method === 'PUT' ? put : get
}

/** Each thread of wrk talks to one server. Keys are drawn uniformly, so that most PUTs after the warm-up replace a value. */
function script(load: Load, request: string, prelude: string): string {
  const targets = load.targets.map((target) => `"${target}"`).join(', ')
  return `
local targets = { ${targets} }
local started = 0
function setup(thread)
  local host, port = string.match(targets[started % #targets + 1], "^(.*):(%d+)$")
  started = started + 1
  thread.addr = wrk.lookup(host, port)[1]
  thread:set("seed", started)
end
${prelude}
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
  ${request}
end
function done(summary, latency, requests)
  local e = summary.errors
  local at = {}
  for i, p in ipairs({ ${[50, 90, 99, 99.9, ...PERCENTAGES].join(', ')} }) do at[i] = latency:percentile(p) end
  io.write(string.format('RESULT {"requests":%d,"us":%d,"max":%d,"errors":%d,"at":[%s]}\\n', summary.requests,
    summary.duration, latency.max, e.connect + e.read + e.write + e.status + e.timeout, table.concat(at, ",")))
end
`
}

/** `request`: the body of the function that makes a request, in Lua, with `body` as the value; `prelude`: what it calls. */
export function startWrk(load: Load, request = quorateRequest(load), prelude = ''): RunningLoad {
  const directory = makeDirectory()
  const file = join(directory, 'load.lua')
  writeFileSync(file, script(load, request, prelude))
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
  const child = spawnChild('wrk', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const usage = watchUsage(child.pid)
  const result = new Promise<LoadResult>((resolve, reject) => {
    let printed = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (printed += text))
    }
    child.on('error', reject)
    child.on('close', () => {
      const line = /RESULT (\{.*\})/.exec(printed)?.[1]
      if (line === undefined) reject(new Error(`wrk: ${printed}`))
      else resolve(resultOf(line, usage.stop().cpuMs))
    })
  }).finally(() => {
    usage.stop()
    removeDirectory(directory)
  })
  return {
    result,
    stop: async () => {
      // On this signal wrk ends and prints its figures.
      child.kill('SIGINT')
      return result
    },
  }
}

interface Printed {
  readonly requests: number
  readonly us: number
  readonly max: number
  readonly errors: number
  readonly at: readonly number[]
}

function resultOf(line: string, cpuMs: number): LoadResult {
  const { requests, us, max, errors, at } = JSON.parse(line) as Printed
  const [p50 = 0, p90 = 0, p99 = 0, p999 = 0, ...rest] = at.map((one) => one / 1000)
  return {
    requestsPerSecond: (requests * 1e6) / us,
    requests,
    p50,
    p90,
    p99,
    p999,
    max: max / 1000,
    errors,
    generatorCpuUs: (cpuMs * 1000) / requests,
    distribution: PERCENTAGES.map((percentage, n): Point => [percentage, rest[n] ?? NaN]),
  }
}
