import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
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
  const { stdout, stderr } = await run(process.execPath, words, { cwd: root, timeout: PATIENCE_MS })
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
