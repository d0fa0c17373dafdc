// Runs tap over the given files (all of them when none is given), passes its output through, and ends with the one
// line that a build server reads: `N passed, N failed`. Fails when tap fails, and when nothing ran at all.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const tap = fileURLToPath(new URL('../node_modules/tap/dist/esm/run.mjs', import.meta.url))
const child = spawn(process.execPath, [tap, '--reporter=tap', ...process.argv.slice(2)], {
  stdio: ['ignore', 'pipe', 'inherit'],
})

// Only the last line of tap's own report counts; subtests print theirs indented.
const totals = /^# \{ total: (\d+)(.*)\}$/
let total = null
let rest = ''
child.stdout.setEncoding('utf8')
child.stdout.on('data', (text) => {
  process.stdout.write(text)
  const lines = (rest + text).split('\n')
  rest = lines.pop() ?? ''
  for (const line of lines) total = totals.exec(line) ?? total
})

function count(name) {
  const found = new RegExp(`\\b${name}: (\\d+)`).exec(total?.[2] ?? '')
  return found === null ? 0 : Number(found[1])
}

child.on('close', (code, signal) => {
  const ran = Number(total?.[1] ?? 0)
  const failed = count('fail')
  const ok = code === 0 && failed === 0 && ran > 0
  if (ran === 0) console.log('No test ran.')
  if (signal !== null) console.log(`tap was stopped by ${signal}.`)
  if (count('skip') + count('todo') > 0) console.log(`${count('skip')} skipped, ${count('todo')} todo`)
  // A run that failed outside any assertion (a crash, a missing report) is counted, so that the line never looks clean.
  console.log(`${count('pass')} passed, ${ok ? 0 : Math.max(failed, 1)} failed`)
  process.exitCode = ok ? 0 : code || 1
})
