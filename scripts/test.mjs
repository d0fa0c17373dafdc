// Runs tap over the given files, or over all files when none is given. It prints a line for each file, each failure in full as
// soon as its file is done and by name again at the end, what was skipped with the reason, and finally the one line that a build
// server reads: `N passed, N failed`. It fails when tap fails, and when no test ran. The complete output of the tests is kept under .tap/test-results.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Parser } from 'tap-parser'

const tap = fileURLToPath(new URL('../node_modules/tap/dist/esm/run.mjs', import.meta.url))
const child = spawn(process.execPath, [tap, '--reporter=tap', ...process.argv.slice(2)], {
  stdio: ['ignore', 'pipe', 'inherit'],
})

// The last comment in tap's own report. The parser counts files, not assertions.
const totals = /^# \{ total: (\d+)(.*)\}/
let total = null
const failures = []
const skips = []

/** Follows one test and its subtests. `path` is the names from the file inward. */
function follow(parser, path) {
  let told = 0
  parser.on('child', (inner) => {
    inner.on('complete', ({ ok }) => (told += ok ? 0 : 1))
    follow(inner, [...path, inner.name])
  })
  parser.on('extra', (text) => process.stdout.write(text))
  parser.on('complete', (results) => {
    for (const { name, skip } of results.skips) {
      skips.push(`${[...path, name].join(' > ')}: ${skip === true ? 'no reason is given' : skip}`)
    }
    for (const failure of results.failures) {
      // The line that closes a test repeats the failures inside it, unless there were none.
      if (failure.closingTestPoint && told > 0) continue
      const name = [...path, failure.name ?? failure.tapError].join(' > ')
      failures.push(name)
      console.log(`not ok ${name}`)
      if (failure.diag) console.log(describe(failure.diag))
    }
  })
}

/** The details of a failed line: the difference first, then the rest unchanged. */
function describe({ diff, source, stack, ...rest }) {
  const parts = [diff, JSON.stringify(rest, null, 2), source, stack]
  return parts
    .filter((part) => typeof part === 'string' && part !== '{}')
    .map((part) => part.trimEnd().replaceAll(/^/gmu, '    '))
    .join('\n')
}

function count(name) {
  const found = new RegExp(`\\b${name}: (\\d+)`).exec(total?.[2] ?? '')
  return found === null ? 0 : Number(found[1])
}

const parser = new Parser()
parser.on('comment', (text) => (total = totals.exec(text) ?? total))
parser.on('assert', (file) => {
  console.log(`${file.ok ? 'ok    ' : 'FAILED'} ${file.name} (${(file.time / 1000).toFixed(1)} s)`)
})
follow(parser, [])
child.stdout.pipe(parser)

child.on('close', (code, signal) => {
  const ran = Number(total?.[1] ?? 0)
  const failed = count('fail')
  const ok = code === 0 && failed === 0 && ran > 0
  if (ran === 0) console.log('No test ran.')
  if (signal !== null) console.log(`tap was stopped by ${signal}.`)
  for (const name of failures) console.log(`not ok ${name}`)
  for (const line of skips) console.log(`skipped ${line}`)
  if (count('skip') + count('todo') > 0) console.log(`${count('skip')} skipped, ${count('todo')} todo`)
  // A run that failed outside any assertion (a crash, a missing report) counts as a failure, so the line never looks clean.
  console.log(`${count('pass')} passed, ${ok ? 0 : Math.max(failed, 1)} failed`)
  process.exitCode = ok ? 0 : code || 1
})
