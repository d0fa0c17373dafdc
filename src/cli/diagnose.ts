import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { createTar } from 'nanotar'
import type { ClusterClient } from '../client/cluster-client.ts'
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
  const asked = await Promise.all(
    origins.map(async (origin) => ({ origin, answers: await ask(origin, connect, timeoutMs) })),
  )
  for (const [number, { origin, answers }] of asked.entries()) {
    const folder = folderOf(origin, number)
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
    nodes: asked.map(({ origin }, number) => ({ origin, folder: folderOf(origin, number) })),
    unreachable: seen.silent,
    leftOut: files.leftOut,
  }
  files.addJson('summary.json', summary)
  const archive = await promisify(gzip)(createTar(files.files, { attrs: { mtime: at.getTime(), mode: '600' } }))
  const name = file ?? `quorate-diagnose-${at.toISOString().replaceAll(/[-:]|\.[0-9]+/g, '')}.tar.gz`
  const lost = await keep(terminal, name, archive)
  if (lost !== null) {
    terminal.printError(`quorate: the archive ${unwritable(name, lost)}\n`)
    return exitCodes.outputLost
  }
  const text = [
    ...(name === '-' ? [] : [`wrote ${name}: ${archive.length} bytes, ${origins.length} nodes\n`]),
    ...seen.silent.map(({ origin, reason }) => `without ${origin}: ${printable(reason)}\n`),
    ...files.leftOut.map((one) => `without ${one}: the archive would be too large\n`),
  ].join('')
  if (options.json === true && name !== '-') terminal.print(`${JSON.stringify({ file: name, ...summary })}\n`)
  else terminal.printError(text)
  return exitCodes.stopped
}

/** Every answer of one node, or why there is none in its place. */
async function ask(origin: string, connect: Connect, timeoutMs: number): Promise<[name: string, answer: unknown][]> {
  const client = connect({ servers: [origin], timeoutMs, retry: false })
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
    return answers
  } finally {
    client.close()
  }
}

/** The settings of the nodes on this machine. Nodes tell nobody how they were started. */
async function configurations(): Promise<readonly object[]> {
  const nodes = (await findRunningNodes()) ?? []
  return nodes.map(({ id, pid, config }) => ({ id, pid, settings: withoutSecrets(config) }))
}

function folderOf(origin: string, number: number): string {
  return `${number + 1}-${new URL(origin).host.replaceAll(/[^A-Za-z0-9.]/g, '-')}`
}

/**
 * A file that is there already is left alone. Others may not read the archive: values of metrics and addresses are nobody's business. Returns why
 * the archive could not be written whole, or null.
 */
async function keep(terminal: Terminal, name: string, archive: Uint8Array): Promise<Error | null> {
  if (name === '-') {
    await terminal.printPiece(archive)
    return null
  }
  const target = await PartFile.create(name, 0o600, { replaces: false })
  try {
    await target.write(archive)
    return await target.finish()
  } catch (error) {
    return toError(error)
  } finally {
    await target.abandon()
  }
}
