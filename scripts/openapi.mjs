// Writes openapi/openapi.json from the routes of the built program. The file equals the answer of `GET /openapi.json`. With
// --check nothing is written, and a difference fails.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildApp } from '../dist/http/app.js'
import { limits } from '../dist/limits.js'
import { version } from '../dist/version.js'

const committed = fileURLToPath(new URL('../openapi/openapi.json', import.meta.url))

/** Only the route of the document is called, so no node is needed behind the routes. */
async function readDocument() {
  const auth = { table: null, onChange: () => () => undefined }
  const services = { keys: {}, auth, cluster: {}, health: {}, version, valueBytesMax: limits.valueBytesMaxDefault }
  const fail = (error) => {
    throw error
  }
  const app = buildApp(
    { now: () => performance.now(), onUnexpected: fail, onFatal: fail, onConnectionsRefused: fail },
    services,
  )
  try {
    const answer = await app.inject('/openapi.json')
    return answer.json()
  } finally {
    await app.close()
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
  mkdirSync(dirname(committed), { recursive: true })
  writeFileSync(committed, text)
  console.log(`wrote ${committed}`)
}
