// Writes openapi/openapi.json from a running node of the built program: the document is exactly what `GET /openapi.json`
// answers. With --check nothing is written, and a difference fails.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const committed = fileURLToPath(new URL('../openapi/openapi.json', import.meta.url))
const startMsMax = 30_000

/** Two ports that were free a moment ago, probed together so that they differ. */
async function freePorts() {
  const servers = [createServer(), createServer()]
  for (const server of servers) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  const ports = servers.map((server) => server.address().port)
  for (const server of servers) server.close()
  return ports
}

async function fetchDocument(url, node) {
  const deadline = performance.now() + startMsMax
  for (;;) {
    if (node.exitCode !== null) throw new Error(`the node stopped with exit code ${node.exitCode}`)
    const answer = await fetch(url).catch(() => null)
    if (answer?.ok === true) return answer.json()
    if (performance.now() > deadline) throw new Error(`no answer from ${url} within ${startMsMax} ms`)
    await delay(50)
  }
}

async function readDocument() {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-openapi-'))
  const [api, raft] = await freePorts()
  const flags = ['--id', '1', '--data-dir', directory, '--api', `127.0.0.1:${api}`, '--raft', `127.0.0.1:${raft}`]
  const node = spawn(process.execPath, [program, 'serve', ...flags], { stdio: ['ignore', 'ignore', 'inherit'] })
  const closed = once(node, 'close')
  try {
    return await fetchDocument(`http://127.0.0.1:${api}/openapi.json`, node)
  } finally {
    node.kill('SIGTERM')
    await closed
    rmSync(directory, { recursive: true, force: true })
  }
}

function readCommitted() {
  try {
    return readFileSync(committed, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return null
    throw error
  }
}

const text = `${JSON.stringify(await readDocument(), null, 2)}\n`
if (process.argv.includes('--check')) {
  if (readCommitted() !== text) {
    console.error('openapi/openapi.json differs from what the program answers: run `npm run openapi` and commit it.')
    process.exitCode = 1
  }
} else {
  mkdirSync(join(committed, '..'), { recursive: true })
  writeFileSync(committed, text)
  console.log(`wrote ${committed}`)
}
