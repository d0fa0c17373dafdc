import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { createTar } from 'nanotar'
import type { DiagnosticsAnswer } from '../client/api-types.ts'
import type { ClusterClient } from '../client/cluster-client.ts'
import { ProblemError } from '../client/errors.ts'
import { toError } from '../lib/to-error.ts'
import { limits } from '../limits.ts'
import { version } from '../version.ts'
import { connectWith, type Connect } from './client-tls.ts'
import { lookOrFail } from './check-cluster.ts'
import { assessHealth } from './cluster-health.ts'
import {
  exitCodeOf,
  isClientFailure,
  printFailure,
  serversOf,
  timeoutMsOf,
  type ConnectionOptions,
} from './connection.ts'
import { withoutSecrets } from './secrets.ts'
import { findRunningNodes } from './running-nodes.ts'
import { isStandardOutput } from './output-place.ts'
import { PartFile, unwritable } from './part-file.ts'
import { printable } from './table.ts'
import { exitCodes, type Terminal } from './terminal.ts'

/** The files of the archive, as far as they fit. */
class Files {
  readonly files: { readonly name: string; readonly data: string }[] = []
  readonly leftOut: string[] = []
  private bytes = 0

  add(name: string, data: string): void {
    const bytes = Buffer.byteLength(data)
    if (this.bytes + bytes > limits.diagnoseBytesMax) {
      this.leftOut.push(name)
      return
    }
    this.bytes += bytes
    this.files.push({ name, data })
  }

  addJson(name: string, document: unknown): void {
    this.add(name, `${JSON.stringify(document, null, 2)}\n`)
  }
}

type Question = readonly [name: string, ask: (cluster: ClusterClient) => Promise<unknown>]

/** What each node is asked for. An answer that is text is kept as it is. */
const questions: readonly Question[] = [
  ['status.json', async (cluster) => await cluster.status()],
  ['version.json', async (cluster) => await cluster.version()],
  ['live.txt', async (cluster) => await cluster.health('livez')],
  ['ready.txt', async (cluster) => await cluster.health('readyz')],
  ['metrics.txt', async (cluster) => await cluster.metrics()],
]

/** Puts what a report of a fault needs to have into one archive: what every node says of itself, and which nodes say nothing. */
export async function diagnose(
  terminal: Terminal,
  file: string | undefined,
  options: ConnectionOptions,
): Promise<number> {
  const connect = await connectWith(terminal, options, serversOf(terminal, options))
  const seen = await lookOrFail(terminal, options, connect)
  if (isClientFailure(seen)) {
    printFailure(terminal, options, seen)
    return exitCodeOf(seen)
  }
  const timeoutMs = timeoutMsOf(options)
  const at = new Date()
  const files = new Files()
  const origins = [...seen.views.map(({ origin }) => origin), ...seen.foreign.map(({ origin }) => origin)]
  const asked = await Promise.all(origins.map(async (origin, number) => await ask(origin, number, connect, timeoutMs)))
  for (const { folder, answers } of asked) {
    for (const [name, answer] of answers) {
      if (typeof answer === 'string') files.add(`${folder}/${name}`, answer)
      else files.addJson(`${folder}/${name}`, answer)
    }
  }
  const { code: _code, ...health } = await assessHealth(seen, connect, timeoutMs)
  files.addJson('health.json', health)
  files.addJson('configuration.json', await configurations())
  const summary = {
    at: at.toISOString(),
    version,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    clusterId: seen.newest.clusterId,
    nodes: asked.map(({ origin, folder, log, withheld }) => ({ origin, folder, log, withheld })),
    unreachable: seen.silent,
    leftOut: files.leftOut,
  }
  files.addJson('summary.json', summary)
  const archive = await promisify(gzip)(createTar(files.files, { attrs: { mtime: at.getTime(), mode: '600' } }))
  const name = file ?? `quorate-diagnose-${at.toISOString().replaceAll(/[-:]|\.[0-9]+/g, '')}.tar.gz`
  const isPrinted = await isStandardOutput(name)
  const lost = await keep(terminal, isPrinted ? null : name, archive)
  if (lost !== null) {
    terminal.printError(`quorate: the archive ${unwritable(name, lost)}\n`)
    return exitCodes.outputLost
  }
  const text = [
    ...(isPrinted ? [] : [`wrote ${name}: ${archive.length} bytes, ${origins.length} nodes\n`]),
    ...seen.silent.map(({ origin, reason }) => `without ${origin}: ${printable(reason)}\n`),
    ...asked.map(({ origin, withheld }) =>
      withheld === null ? '' : `without the settings and the log of ${origin}: ${printable(withheld)}\n`,
    ),
    ...files.leftOut.map((one) => `without ${one}: the archive would be too large\n`),
  ].join('')
  if (options.json === true && !isPrinted) terminal.print(`${JSON.stringify({ file: name, ...summary })}\n`)
  else terminal.printError(text)
  return exitCodes.stopped
}

interface Asked {
  readonly origin: string
  readonly folder: string
  /** Every answer of the node, or why there is none in its place. */
  readonly answers: readonly (readonly [name: string, answer: unknown])[]
  /** How many lines of its log there are, and how many before them it does not keep any more; null: it gave none. */
  readonly log: { readonly lines: number; readonly forgotten: number } | null
  /** Why it told neither its settings nor its log; null: it did. */
  readonly withheld: string | null
}

async function ask(origin: string, number: number, connect: Connect, timeoutMs: number): Promise<Asked> {
  const client = connect({ servers: [origin], timeoutMs, retry: false })
  const folder = folderOf(origin, number)
  try {
    const answers: [string, unknown][] = []
    for (const [name, question] of questions) {
      try {
        answers.push([name, await question(client.cluster)])
      } catch (error) {
        if (!isClientFailure(error)) throw error
        answers.push([name, { failure: error.message }])
      }
    }
    const told = await diagnosticsOf(client.cluster)
    if (typeof told === 'string') return { origin, folder, answers, log: null, withheld: told }
    const { settings, log } = told
    answers.push(
      ['settings.json', settings],
      ['log.ndjson', log.lines.map((line) => `${JSON.stringify(line)}\n`).join('')],
    )
    const { forgotten } = log
    return { origin, folder, answers, log: { lines: log.lines.length, forgotten }, withheld: null }
  } finally {
    client.close()
  }
}

/** What the node tells of itself, or why it does not. */
async function diagnosticsOf(cluster: ClusterClient): Promise<DiagnosticsAnswer | string> {
  try {
    const answer: unknown = await cluster.diagnostics()
    return isDiagnostics(answer) ? answer : 'its answer is not that of a node'
  } catch (error) {
    if (!isClientFailure(error)) throw error
    if (!(error instanceof ProblemError)) return error.message
    if (error.code === 'forbidden') return 'that takes a token with the right cluster:admin'
    return error.code === 'route-not-found' ? 'its version does not tell them' : error.message
  }
}

/** Something else may answer in the place of a node. */
function isDiagnostics(answer: unknown): answer is DiagnosticsAnswer {
  if (typeof answer !== 'object' || answer === null || !('settings' in answer) || !('log' in answer)) return false
  const { settings, log } = answer
  return (
    Array.isArray(settings) && typeof log === 'object' && log !== null && 'lines' in log && Array.isArray(log.lines)
  )
}

/** The settings of the nodes on this machine, also of those that do not answer, or do not tell them. */
async function configurations(): Promise<readonly object[]> {
  const nodes = (await findRunningNodes()) ?? []
  return nodes.map(({ id, pid, config }) => ({ id, pid, settings: withoutSecrets(config) }))
}

function folderOf(origin: string, number: number): string {
  return `${number + 1}-${new URL(origin).host.replaceAll(/[^A-Za-z0-9.]/g, '-')}`
}

/**
 * `name`: null is the standard output. A file that is there already is left alone. Others may not read the archive: values of metrics and addresses
 * are nobody's business. Returns why the archive could not be written whole, or null.
 */
async function keep(terminal: Terminal, name: string | null, archive: Uint8Array): Promise<Error | null> {
  if (name === null) {
    terminal.needOutput()
    await terminal.printPiece(archive)
    return null
  }
  const target = await PartFile.create(terminal, name, 0o600, { replaces: false })
  try {
    await target.write(archive)
    return await target.finish()
  } catch (error) {
    return toError(error)
  } finally {
    await target.abandon()
  }
}
