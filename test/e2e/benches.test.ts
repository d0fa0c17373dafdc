import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import t from 'tap'
import type { LoopDelays } from '../../bench/lib/event-loop-sampler.ts'
import type { Run } from '../../bench/lib/report.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
/** Of a machine with much other work. Alone it takes a tenth of it. */
const PATIENCE_MS = 480_000

t.test('every bench runs, with the smallest settings', { timeout: PATIENCE_MS }, async (t) => {
  const directory = await temporaryDirectory(t)
  await run('npm', ['run', '--silent', 'programs'], { cwd: root, timeout: PATIENCE_MS })
  const main = join(root, 'build/bench/main.js')
  const words = [main, '--smoke', '--results', directory]
  const { stdout, stderr } = await run(process.execPath, words, { cwd: root, timeout: PATIENCE_MS }).catch(
    (error: { readonly stdout: string; readonly stderr: string; readonly signal: string | null }) => {
      const told = error.stderr.split('\n').filter((line) => / (failed|broke off)\b/.test(line))
      t.fail(`${error.signal ?? 'exit code 1'}: ${told.join('; ')}`)
      return error
    },
  )
  const [, file = ''] = /saved (\S+\.json)/.exec(stdout) ?? []
  const [{ figures, machine }] = JSON.parse(readFileSync(file, 'utf8')) as [Run]
  const benches = new Set(figures.map(({ bench }) => bench))
  const { stdout: usage } = await run(process.execPath, [main, '--help'], { cwd: root })
  const names = (/^names: (.*)$/m.exec(usage)?.[1] ?? '').split(', ')
  // Some need what the project does not install, and say so.
  for (const [, name = ''] of stderr.matchAll(/^(\S+): left out/gm)) benches.add(name)
  t.strictSame(
    names.filter((name) => !benches.has(name)),
    [],
    'each has figures',
  )
  t.ok(names.length >= 18)
  t.match(machine, { node: process.version, commit: String, cores: Number })
  const failed = figures.filter(({ values }) => (values['errors'] ?? 0) + (values['failed'] ?? 0) > 0)
  t.strictSame(failed, [], 'no request failed')
  t.match(readFileSync(join(directory, file.slice(-15, -5), 'overload-rates.svg'), 'utf8'), /^<svg /)
})

t.test('how late an event loop is counts for what is measured, and for as long as it lasts', async (t) => {
  await run('npm', ['run', '--silent', 'programs'], { cwd: root, timeout: PATIENCE_MS })
  const directory = await temporaryDirectory(t)
  const program = join(directory, 'blocked.mjs')
  writeFileSync(
    program,
    `setInterval(() => {}, 1000)
     process.on('message', (ms) => {
       if (typeof ms !== 'number') return
       const until = performance.now() + ms
       while (performance.now() < until) {}
     })`,
  )
  const sampler = join(root, 'build/bench/lib/event-loop-sampler.js')
  const child = fork(program, [], { execArgv: ['--import', sampler] })
  t.teardown(() => child.kill('SIGKILL'))
  const measure = async (work: () => Promise<unknown>): Promise<LoopDelays> => {
    child.send('begin')
    await work()
    const told = once(child, 'message')
    child.send('end')
    return ((await told) as [LoopDelays])[0]
  }
  const blocked = await measure(async () => {
    await delay(1_500)
    child.send(1_000)
  })
  t.ok(blocked.maxMs >= 900, 'the longest delay is the length of the block')
  t.ok(blocked.p99Ms >= 500, 'a long block weighs as much as it lasts')
  // A busy machine can keep the process from running for as long as the block was; what is still counted would be there each time.
  let rest = blocked
  for (let attempt = 0; attempt < 20 && rest.maxMs >= blocked.maxMs; attempt += 1)
    rest = await measure(() => delay(100))
  t.ok(rest.maxMs < blocked.maxMs, 'what was before counts no more')
})
